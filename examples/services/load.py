"""Clients that work all the time, and remember what they were promised."""

import re
import signal
import socket
import subprocess
import threading

from scene import PATIENCE, eventually


class Load:
    """While the block runs: requests by wrk, and writers to Redis and PostgreSQL, who come back when their server does."""

    def __init__(self, scene):
        self.scene = scene
        self.ended = threading.Event()
        self.counter = 0  # the highest that Redis has answered to INCR
        self.rows = []  # the numbers whose rows PostgreSQL has confirmed
        self.next_row = max(map(int, scene.sql("CREATE TABLE IF NOT EXISTS rows (number int PRIMARY KEY);"
                                               "SELECT coalesce(max(number), 0) FROM rows"))) + 1
        # As daemons, they do not keep the checks from ending, whatever a server has left them waiting for.
        self.threads = [threading.Thread(target=self.repeat, args=[work], daemon=True) for work in (self.count, self.insert)]

    def __enter__(self):
        self.wrk = subprocess.Popen(
            ["wrk", "-t", "1", "-c", "8", "-d", "10m", f"http://127.0.0.1:{self.scene.ports['web']}/"],
            cwd="/", text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for thread in self.threads:
            thread.start()
        try:
            self.goes_on()
        except BaseException:
            self.end()  # without this, nobody would: __exit__ is for those who have entered
            raise
        return self

    def __exit__(self, *error):
        self.end()

    def end(self):
        self.ended.set()
        self.wrk.send_signal(signal.SIGINT)
        try:
            self.summary, _ = self.wrk.communicate(timeout=PATIENCE)
        finally:
            self.wrk.kill()
            for thread in self.threads:
                thread.join(PATIENCE)

    def repeat(self, work):
        while not self.ended.wait(0.02):
            try:
                work()
            except (OSError, EOFError):
                pass  # the server was killed

    def count(self):
        with socket.create_connection(("127.0.0.1", self.scene.ports["cache"]), PATIENCE) as connection:
            with connection.makefile() as answers:
                while not self.ended.is_set():
                    connection.sendall(b"INCR counter\r\n")
                    answer = answers.readline()
                    if not answer.startswith(":"):
                        raise EOFError  # it is gone, or still reads its file
                    self.counter = int(answer[1:])

    def insert(self):
        psql = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", "-h", self.scene.socket, "-U", "app", "postgres"],
            cwd="/", text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            while not self.ended.is_set():
                # A number is used once: the row of one without an answer may be there.
                number, self.next_row = self.next_row, self.next_row + 1
                psql.stdin.write(f"INSERT INTO rows VALUES ({number}) RETURNING number;\n")
                psql.stdin.flush()
                if psql.stdout.readline().strip() != str(number):
                    raise EOFError
                self.rows.append(number)
        finally:
            psql.kill()
            psql.stdout.close()
            psql.wait()
            try:
                psql.stdin.close()
            except OSError:
                pass  # what was left for a server that is gone

    def goes_on(self):
        """Waits until both writers have had another answer."""
        counter, rows = self.counter, len(self.rows)
        eventually("both are answered", lambda: self.counter > counter and len(self.rows) > rows)

    def nothing_is_lost(self):
        """For after the block."""
        scene = self.scene
        assert int(scene.redis("GET", "counter")) >= self.counter, (scene.redis("GET", "counter"), self.counter)
        lost = set(self.rows) - set(map(int, scene.sql("SELECT number FROM rows")))
        assert not lost, f"{len(lost)} of {len(self.rows)} confirmed rows are gone: {sorted(lost)[:5]}"
        requests = int(re.search(r"(\d+) requests in", self.summary)[1])
        failures = re.search(r"Non-2xx or 3xx responses: (\d+)", self.summary)
        answered = requests - int(failures[1] if failures else 0)
        page = scene.page()
        assert 0 < answered < min(page["cache"], page["db"]), f"{answered} pages, {page}\n{self.summary}"
        return f"{self.counter} counted, {len(self.rows)} rows, {answered} pages"
