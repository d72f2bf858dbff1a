"""What goes wrong around the services, and what cgrun says of it: each function is a check."""

import os
import re
import shutil
import subprocess

from scene import PATIENCE, eventually, free_port, read

STUBBORN = ('stop = { signal = "INT", mode = "mixed", after = "20s" }', 'stop = { mode = "mixed", after = "1s" }')
DAEMON = ('"daemon off;"]', '"daemon on;"]\nwait-all = true')


def one_of_twenty_starts(scene):
    scene.cgrun("service", "stop", "cache")
    before = scene.logs().count("Redis is starting")
    shells = [scene.popen("service", "start", "cache") for _ in range(20)]
    outputs = [(shell.communicate(timeout=PATIENCE)[0], shell.returncode) for shell in shells]
    assert all(code == 0 for _, code in outputs), outputs
    cache = scene.all_run()["cache"]
    assert {int(output.split()[-1]) for output, _ in outputs} == {cache["pid"]}, outputs
    assert scene.logs().count("Redis is starting") == before + 1, scene.logs()
    scene.nothing_is_astray()


def stale_pid_files(scene):
    """Left by a crash, with the number of no process, and with that of another one, which goes unharmed."""
    data = scene.app / "data"
    files = {"db": data / "db/cluster/postmaster.pid", "web": data / "web/nginx.pid", "cache": data / "cache.pid"}
    left = {name: file.read_text() for name, file in files.items()}
    dead = subprocess.Popen(["true"])
    dead.wait()
    strangers = [subprocess.Popen(["sleep", "600"], cwd="/") for _ in files]
    try:
        for pids in ([dead.pid] * len(files), [stranger.pid for stranger in strangers]):
            scene.cgrun("service", "stop", *files)
            assert not any(file.exists() for file in files.values()), files
            for (name, file), pid in zip(files.items(), pids):
                # PostgreSQL's has more lines, and belongs to the user that it runs as.
                file.write_text(left[name].replace(left[name].split()[0], str(pid), 1))
                shutil.copystat(file.parent, file)
                os.chown(file, file.parent.stat().st_uid, file.parent.stat().st_gid)
            scene.up()
            scene.answers()
            scene.nothing_is_astray()
            mains = scene.mains()
            assert {name: int(file.read_text().split()[0]) for name, file in files.items()} == {
                name: mains[name] for name in files}
        # A reload finds the main process without the file, too.
        files["web"].write_text(f"{strangers[0].pid}\n")
        workers = scene.tree("web")
        scene.cgrun("service", "reload", "web")
        eventually("nginx has other workers", lambda: workers & scene.tree("web") == {mains["web"]})
        assert all(stranger.poll() is None for stranger in strangers), strangers
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()


BROKEN = """
[defaults]
restart = "on-failure"
backoff = "100ms..200ms"
give-up = "3/1m"

[service.bad-cache]
command = ["redis-server", "conf/bad-redis.conf"]
env = {{ PATH = "{path}" }}
uid = "nobody"
ready = {{ tcp = {port} }}

[service.needs-it]
command = ["sleep", "600"]
requires = {{ bad-cache = "ready" }}

[service.bad-php]
command = ["php-fpm8.2", "--nodaemonize", "--fpm-config", "conf/bad-php-fpm.conf", "--prefix", "data/php"]
uid = "www-data"
# On a busy machine it takes long to read its configuration.
ready = {{ delay = "20s" }}
"""


def crash_loops_end(scene):
    """A bad configuration is told with the server's own words, tried as often as was said, and then no more."""
    for name, good, bad in (("redis.conf", "appendonly", "appendolny"), ("php-fpm.conf", "max_children", "max_chidlren")):
        text = (scene.app / f"conf/{name}").read_text()
        (scene.app / f"conf/bad-{name}").write_text(text.replace(good, bad))
    path = re.search('PATH = "(.*)"', (scene.app / "cgrun.toml").read_text())[1]
    (scene.app / "broken.toml").write_text(BROKEN.format(path=path, port=free_port(scene.ports.values())))
    try:
        told_and_given_up(scene)
    finally:
        broken = scene.status().keys() & {"bad-cache", "needs-it", "bad-php"}
        if broken:  # without names, both are about all services
            scene.cgrun("down", *broken)
            scene.cgrun("service", "remove", *broken)
    scene.nothing_is_astray()


def told_and_given_up(scene):
    output = scene.cgrun("up", "-d", "-f", "broken.toml", expect=1)
    for text in ("bad-cache: redis-server exited with 1", "appendolny", "bad-php: php-fpm8.2 exited with 78",
                 "max_chidlren", "needs-it: was not started"):
        assert text in output, f"no {text!r} in:\n{output}"

    status = eventually(
        "both have failed", lambda: {scene.status()[name]["state"] for name in ("bad-cache", "bad-php")} == {"failed"} and
        scene.status())
    assert "needs-it" not in status, status["needs-it"]
    assert (status["bad-cache"]["starts"], status["bad-php"]["starts"]) == (3, 3), status
    text = scene.cgrun("service", "status", "bad-cache", "bad-php", expect=3)
    assert "redis-server exited with 1" in text and "php-fpm8.2 exited with 78" in text, text
    output = scene.cgrun("service", "start", "bad-cache", expect=1)
    assert "appendolny" in output and "redis-server exited with 1" in output, output


def stop_that_takes_too_long(scene):
    """With TERM, PostgreSQL waits until its last client has gone. Here this one stays."""
    scene.cgrun("service", "stop", "db")
    scene.up(scene.variant("stubborn.toml", STUBBORN), "db")
    with subprocess.Popen(["psql", "-X", "-q", "-A", "-t", "-h", scene.socket, "-U", "app", "postgres"], cwd="/", text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        client.stdin.write("SELECT pg_backend_pid();\n")
        client.stdin.flush()
        pids = {int(client.stdout.readline()), scene.mains()["db"]}
        output = scene.cgrun("service", "stop", "db")
        client.kill()
    assert "had to be killed" in output and all(f"postgres ({pid})" in output for pid in pids), (pids, output)
    assert not scene.cgroups("db")
    scene.cgrun("service", "remove", "db")
    scene.up()
    scene.answers()  # recovered, as after any crash


def server_that_daemonises(scene):
    """nginx with `daemon on;`: the main process ends at once, and the service lasts as long as its tree."""
    scene.cgrun("service", "stop", "web")
    output = scene.up(scene.variant("daemon.toml", DAEMON), "web")
    web = scene.status()["web"]
    assert web["state"] == "running" and web["pid"] is None, web
    master = int(read(scene.app / "data/web/nginx.pid"))
    tree = scene.tree("web")
    assert master in tree and len(tree) == 3 and set(web["pids"]) == tree, (master, tree, web)
    scene.answers()
    stopped = scene.cgrun("service", "stop", "web")
    assert "killed" not in stopped, stopped
    assert not scene.cgroups("web") and not tree & set(scene.processes()), scene.told(tree)
    scene.up()
    scene.answers()
    assert re.search("^web is ready", output, re.MULTILINE) and "pid 0" not in output, output
