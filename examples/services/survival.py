"""What the services survive: each function is a check."""

import json
import random
import signal
import time

from load import Load
from scene import SERVERS, eventually, kill

ROUNDS = 6  # in which the main process, keeper and guard of each server are killed


def killed_at_random_moments(scene):
    """Under load. Nothing that was confirmed is lost, and each server is there once."""
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    print(f"      seed {seed}", flush=True)
    before = scene.status()
    with Load(scene) as load:
        for _ in range(ROUNDS):
            victims = [(name, role) for name in SERVERS for role in ("pid", "keeper", "guard")]
            moments.shuffle(victims)
            for name, role in victims:
                time.sleep(moments.random() * 0.3)
                kill(victim(scene, name, role), signal.SIGKILL)
            scene.all_run()
            load.goes_on()
        scene.nothing_is_astray()
    print(f"      {load.nothing_is_lost()}", flush=True)
    scene.answers()
    after = scene.status()
    for name in SERVERS:
        # A kill of keeper or guard is no event for the service.
        assert after[name]["starts"] - before[name]["starts"] == ROUNDS, (before[name], after[name])


def victim(scene, name, role):
    """Waits for one that does not exist just now. Never the last of keeper and guard: that is a check of its own."""
    def one():
        service = scene.status()[name]
        return scene.watchers(service) and service[role]
    pid = eventually(lambda: f"{name} has a {role}: {scene.status()[name]}", one)
    assert role != "pid" or pid in scene.tree(name), pid
    return pid


def restarted_and_reloaded_under_load(scene):
    """The old one is gone before the new one wants its port; a reload leaves the main process."""
    with Load(scene) as load:
        for _ in range(3):
            before = scene.mains()
            scene.cgrun("service", "restart", *SERVERS)
            after = scene.mains()
            assert all(after[name] and before[name] != after[name] for name in SERVERS), (before, after)
            load.goes_on()
        workers = scene.tree("web")
        scene.cgrun("service", "reload", "web", "php")
        eventually("nginx has other workers", lambda: workers & scene.tree("web") == {after["web"]})
        load.goes_on()
        scene.nothing_is_astray()
        assert scene.mains() == after, (scene.mains(), after)
    load.nothing_is_lost()
    # Redis and nginx say "Address already in use", PostgreSQL that its lock file exists.
    bad = [line for line in scene.logs().splitlines() if "in use" in line.lower() or "already exists" in line]
    assert not bad, bad


def orphans_are_taken_over(scene):
    before = scene.mains()
    lose_watchers(scene)
    states = {name: scene.status()[name]["state"] for name in SERVERS}
    assert set(states.values()) == {"orphaned"}, states
    scene.answers()  # nobody looks after them, and they work
    scene.cgrun("service", "adopt", "db", "web")
    scene.up()
    scene.nothing_is_astray()
    assert scene.mains() == before, (before, scene.mains())
    # Whoever has adopted it is not its parent, and sees its end all the same.
    kill(before["db"], signal.SIGKILL)
    eventually("db is started again", lambda: scene.mains()["db"] not in (None, before["db"]))
    scene.all_run()
    scene.answers()


def lose_watchers(scene):
    """SIGKILL of all keepers and guards. They are stopped first, so that none sees the end of another."""
    status = scene.all_run()
    pids = [pid for name in SERVERS for pid in scene.watchers(status[name])]
    assert len(pids) == 2 * len(SERVERS), pids
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            kill(pid, number)
    eventually("no keeper or guard is left", lambda: not set(pids) & set(scene.processes()))


def machine_started_anew(scene):
    """As it looks after a power cut: no process and no cgroup is left, and the records are of another boot."""
    rows, visits = scene.sql("SELECT max(id) FROM visits"), scene.redis("GET", "visits")
    lose_watchers(scene)
    scene.kill_groups()
    eventually(lambda: f"nothing runs: {scene.told(scene.processes())}", lambda: not scene.processes())
    for group in sorted(scene.cgroups(), reverse=True):
        group.rmdir()
    for file in (scene.place / "state/services").glob("*/record.json"):
        record = json.loads(file.read_text())
        assert record["bootID"] == open("/proc/sys/kernel/random/boot_id").read().strip()
        file.write_text(json.dumps(record | {"bootID": "00000000-0000-4000-8000-000000000000"}))

    output = scene.cgrun("service", "status", *SERVERS, expect=3)
    assert output.count("the machine was started anew since") == len(SERVERS), output
    listed = {line.split()[0]: line.split()[1] for line in scene.cgrun("ps").splitlines()}
    assert {name: listed[name] for name in SERVERS} == dict.fromkeys(SERVERS, "stopped"), listed

    scene.up()
    scene.nothing_is_astray()
    assert (scene.sql("SELECT max(id) FROM visits"), scene.redis("GET", "visits")) == (rows, visits)
    scene.answers()
