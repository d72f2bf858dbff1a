<?php
// Counts this visit in Redis and in PostgreSQL, and tells both numbers.
$cache = stream_socket_client('tcp://127.0.0.1:7302', $code, $text, 5) ?: throw new Exception($text);
fwrite($cache, "INCR visits\r\n");
$hits = fgets($cache);
$hits[0] === ':' ?: throw new Exception("Redis: $hits");

// A visitor who takes that long: /?seconds=2.
sleep(min(10, (int) ($_GET['seconds'] ?? 0)));

$socket = dirname(__DIR__) . '/data/socket';
$database = pg_connect("host=$socket user=app dbname=postgres") ?: throw new Exception('no database');
$row = pg_fetch_row(pg_query($database, 'INSERT INTO visits DEFAULT VALUES RETURNING id'));

header('Content-Type: application/json');
echo json_encode(['cache' => (int) substr($hits, 1), 'db' => (int) $row[0]]), "\n";
