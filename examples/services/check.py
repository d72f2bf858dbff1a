"""Tries the services: check.py, with CGRUN in the environment. `run` installs what it needs."""

import os
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from mishaps import crash_loops_end, one_of_twenty_starts, server_that_daemonises, stale_pid_files, stop_that_takes_too_long
from scene import PATIENCE, SERVERS, Scene, can_listen, eventually
from survival import (
    killed_at_random_moments, machine_started_anew, orphans_are_taken_over, restarted_and_reloaded_under_load)


def starts_in_order(scene):
    output = "\n" + scene.up()
    print(re.sub("^", "      ", output.strip(), flags=re.MULTILINE))
    for order in (("layout has ended", "cluster has ended", "db is ready", "schema has ended", "php is ready"),
                  ("layout has ended", "cache is ready", "php is ready", "web is ready")):
        places = [output.index(f"\n{text}") for text in order]
        assert places == sorted(places), output
    scene.answers()
    scene.nothing_is_astray()
    mains = scene.mains()
    assert scene.up().count("already running") == len(SERVERS) and scene.mains() == mains


def in_the_foreground(scene):
    """`up` shows what they write. Killed, it leaves them; Ctrl-C ends them."""
    scene.cgrun("down")
    killed = scene.popen("up")
    eventually("up has started them", lambda: scene.all_run())
    killed.kill()
    killed.communicate()
    mains = scene.mains()
    scene.answers()
    up = scene.popen("up")
    told = []
    # What it writes may stop at any place, and a pipe is read without a timeout.
    reader = threading.Thread(target=lambda: told.extend(iter(up.stdout.readline, "")), daemon=True)
    reader.start()
    try:
        eventually(lambda: f"web is told of: {told}", lambda: any("web is already running" in line for line in told))
        up.send_signal(signal.SIGINT)
        up.wait(PATIENCE)
    finally:
        up.kill()
        reader.join(PATIENCE)
    assert up.returncode == 0 and scene.mains() == dict.fromkeys(SERVERS) != mains, told
    assert any(line.startswith("db ") and "| " in line and "database system is shut down" in line for line in told), told
    assert {name for name in SERVERS if f"cgrun: {name} is stopped\n" in told} == set(SERVERS), told


def down_leaves_nothing(scene):
    before = int(scene.redis("GET", "visits"))
    with ThreadPoolExecutor() as pool:
        request = pool.submit(scene.page, seconds=1)
        # It has been to Redis now, and PostgreSQL comes at its end.
        eventually("the request is at work", lambda: int(scene.redis("GET", "visits")) == before + 1)
        output = scene.cgrun("down")
    print(re.sub("^", "      ", output.strip(), flags=re.MULTILINE))
    stopped = re.findall("^(.*) is stopped$", output, re.MULTILINE)
    assert sorted(stopped) == sorted(SERVERS), output
    assert not scene.processes(), scene.told(scene.processes())
    assert not scene.cgroups(), scene.cgroups()
    assert all(can_listen(port) for port in scene.ports.values()), scene.ports
    files = ["cache.pid", "web/nginx.pid", "db/cluster/postmaster.pid", "socket/.s.PGSQL.5432"]
    assert not [file for file in files if (scene.app / "data" / file).exists()]
    assert not os.listdir(scene.place / "temporary"), os.listdir(scene.place / "temporary")
    scene.cgrun("service", "remove", *scene.status())
    assert not os.listdir(scene.place / "state/services"), os.listdir(scene.place / "state/services")
    # What requires another is stopped before it. php requires db by way of schema, which has ended.
    places = {name: stopped.index(name) for name in SERVERS}
    assert places["web"] < places["php"] < min(places["db"], places["cache"]), output
    assert request.result()["db"], "whoever was being served has had the answer"


CHECKS = (
    starts_in_order, one_of_twenty_starts, killed_at_random_moments, restarted_and_reloaded_under_load,
    stale_pid_files, crash_loops_end, stop_that_takes_too_long, server_that_daemonises, orphans_are_taken_over,
    machine_started_anew, in_the_foreground, down_leaves_nothing)


def interrupted(number, _):
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    passed = failed = 0
    scene = Scene()
    try:
        for check in CHECKS:
            start = time.monotonic()
            try:
                if check is not starts_in_order:
                    scene.up()  # whatever the one before has left
                check(scene)
                passed += 1
                print(f"ok    {check.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
            except Exception as error:
                failed += 1
                print(f"FAIL  {check.__name__}: {type(error).__name__}: {error}", flush=True)
    finally:
        scene.end()
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
