"""The place where the services run, and what is seen of them from outside of cgrun."""

import atexit
import contextlib
import fnmatch
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
CGRUN = os.environ["CGRUN"]
PATIENCE = 30 * float(os.environ.get("CGRUN_TEST_PATIENCE", "1"))
SERVERS = ("db", "cache", "php", "web")
PORTS = {"cache": 7302, "php": 7303, "web": 7304}  # those in the files


def eventually(what, condition):
    """What the condition returns, once that is true of it. `what` can be a function that tells more."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE:.0f} s: {what() if callable(what) else what}")
        time.sleep(0.02)
    return found


def free_port(taken):
    """Not one that the kernel gives to clients: one of them could have it while its server is restarted."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        first = int(file.read().split()[0])
    for port in random.sample(range(min(10_000, first // 2), first), 100):
        if port not in taken and can_listen(port):
            return port
    raise AssertionError("no free port")


def can_listen(port):
    with socket.socket() as listener:
        # As servers do: connections that have ended a moment ago are no hindrance.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError:
            return False
    return True


def read(path):
    """The file's bytes; none if it, or the process that it tells of, is gone."""
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        return b""


def kill(pid, number):
    """Sends a signal to a process that may be gone by now."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def parent(pid):
    # The name before it may contain anything, parentheses and blanks too.
    return int((read(f"/proc/{pid}/stat").rpartition(b")")[2].split() or [0, 0])[1])


def own_job():
    """The directories of the job of cgrun's that this process is in, in each hierarchy. Services that it starts get their
    cgroups there, and nobody else's are: all of them may be killed."""
    found = []
    for line in read("/proc/self/cgroup").decode().splitlines():
        _, controllers, path = line.split(":", 2)
        # With cgroup v2 alone, there is no directory between.
        for name in [controllers.removeprefix("name=")] if controllers else ["unified", ""]:
            directory = pathlib.Path("/sys/fs/cgroup", name, path.lstrip("/"))
            jobs = [group for group in (directory, *directory.parents) if re.fullmatch("cgrun-[0-9a-f]{16}", group.name)]
            if directory.is_dir() and jobs:
                found.append(jobs[0])
                break
    if not found:
        sys.exit("check.py: this is not in a job of cgrun's; start it by ./run")
    return found


class Scene:
    """A copy of this directory with ports of its own, and cgrun with a state directory of its own."""

    def __init__(self):
        self.job = own_job()
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="cgrun-services."))
        atexit.register(shutil.rmtree, self.place, ignore_errors=True)
        self.place.chmod(0o755)  # the users of the services go through it
        for name in ("app", "bin", "temporary"):
            (self.place / name).mkdir()
        self.app, self.socket = self.place / "app", self.place / "app/data/socket"
        # Package redis-tools has the server under another name.
        (self.place / "bin/redis-server").symlink_to(shutil.which("redis-server") or shutil.which("redis-check-rdb"))
        self.ports = {}
        for name in PORTS:
            self.ports[name] = free_port(self.ports.values())
        self.copy()
        # In the environment of all that cgrun starts.
        self.mark = f"SERVICES_CHECK={os.getpid()}.{time.monotonic_ns()}"
        self.environment = os.environ | dict([self.mark.split("=")]) | {
            "CGRUN_STATE_DIRECTORY": str(self.place / "state"), "TMPDIR": str(self.place / "temporary"), "NO_COLOR": "1"}

    def copy(self):
        new = {str(port): str(self.ports[name]) for name, port in PORTS.items()}
        for name in ("conf", "pages"):
            shutil.copytree(HERE / name, self.app / name)
        shutil.copy(HERE / "cgrun.toml", self.app)
        for file in filter(pathlib.Path.is_file, self.app.rglob("*")):
            text = re.sub(r"\b(730[234])\b", lambda found: new[found[0]], file.read_text())
            file.write_text(text.replace('PATH = "', f'PATH = "{self.place}/bin:'))

    # --- cgrun ---

    def popen(self, *arguments, **options):
        return subprocess.Popen([CGRUN, *arguments], cwd=self.app, env=self.environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)

    def cgrun(self, *arguments, expect=0):
        """Runs it; returns all that it has written."""
        process = self.popen(*arguments)
        try:
            output, _ = process.communicate(timeout=3 * PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"cgrun {' '.join(arguments)} did not end: {process.communicate()[0]}") from None
        if expect is not None:
            assert process.returncode == expect, f"cgrun {' '.join(arguments)}: {process.returncode}\n{output}"
        return output

    def up(self, file="cgrun.toml", *names):
        return self.cgrun("up", "-d", "-f", file, *names)

    def status(self):
        result = subprocess.run([CGRUN, "service", "status", "--json"], cwd=self.app, env=self.environment, text=True,
                                capture_output=True, timeout=PATIENCE)
        return {service["name"]: service for service in json.loads(result.stdout)}

    def mains(self):
        status = self.status()
        return {name: status[name]["pid"] for name in SERVERS}

    def all_run(self):
        """Waits until each server runs and has one guard and one keeper, all alive; returns the status."""
        def settled():
            status = self.status()
            return all(status[name]["state"] == "running" and self.watchers(status[name]) for name in SERVERS) and status
        return eventually(lambda: "all run: " + str({name: service["state"] for name, service in self.status().items()}),
                          settled)

    def watchers(self, service):
        """Keeper and guard of a service, if both are there, and ours: their pids come from elsewhere, and are killed."""
        pids = [service["keeper"], service["guard"]]
        found = [pid for pid in pids if pid and read(f"/proc/{pid}/comm").startswith(b"cgrun-") and self.is_marked(pid)]
        return found if len(set(found)) == 2 else []

    def variant(self, name, *changes):
        """The services as they are now in cgrun.toml, but for some texts."""
        text = (self.app / "cgrun.toml").read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{text.count(old)} times in cgrun.toml: {old}"
            text = text.replace(old, new)
        (self.app / name).write_text(text)
        return name

    def logs(self):
        return self.cgrun("service", "logs", "-n", "100000", *SERVERS)

    # --- what the kernel knows ---

    def is_marked(self, pid):
        return self.mark.encode() in read(f"/proc/{pid}/environ").split(b"\0")

    def processes(self):
        """All that cgrun has started here: marked, or at work in this place, since titles of processes are written over
        their environment."""
        found = []
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                directory = os.readlink(f"/proc/{pid}/cwd")
            except OSError:
                directory = ""
            if self.is_marked(pid) or f"{directory}/".startswith(f"{self.place}/"):
                found.append(pid)
        return found

    def own_processes(self):
        """Those of `processes` that are in the job: a shell that somebody has in this place is not."""
        found = set()
        for job in self.job:
            for path, _, _ in os.walk(job):
                found |= {int(pid) for pid in read(f"{path}/cgroup.procs").split()}
        return [pid for pid in self.processes() if pid in found]

    def kill_groups(self):
        for group in self.cgroups():
            # The last process may have ended, and the cgroup with it.
            with contextlib.suppress(OSError):
                if (group / "cgroup.kill").exists():
                    (group / "cgroup.kill").write_text("1")

    def told(self, pids):
        return {pid: read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace")[:80] for pid in pids}

    def cgroups(self, name="*"):
        # os.walk passes over what is removed meanwhile.
        return [pathlib.Path(path, group) for job in self.job for path, groups, _ in os.walk(job)
                for group in fnmatch.filter(groups, f"cgrun-svc-{name}")]

    def tree(self, name):
        """The pids in the service's cgroup, which is one, in the hierarchy that cgrun kills by."""
        groups = [group for group in self.cgroups(name) if (group / "cgroup.kill").exists()]
        assert len(groups) == 1, f"cgroups of {name}: {groups}"
        files = [groups[0] / "cgroup.procs", *groups[0].rglob("*/cgroup.procs")]
        return {int(pid) for file in files for pid in read(file).split()}

    def nothing_is_astray(self):
        """Each server is there once, and nothing but keepers and guards is outside of the servers' cgroups."""
        status = self.all_run()

        def astray():
            trees = {name: self.tree(name) for name in SERVERS}
            watchers = {pid for name in SERVERS for pid in self.watchers(status[name])}
            outside = set(self.processes()) - watchers - set().union(*trees.values())
            roots = {name: {pid for pid in trees[name] if parent(pid) not in trees[name]} for name in SERVERS}
            doubled = {name: pids for name, pids in roots.items() if pids != {status[name]["pid"]}}
            return outside and f"outside: {self.told(outside)}" or doubled and f"not one tree each: {doubled}"

        # What a keeper has asked whether it is ready takes its moment to end, and so do children without a parent.
        eventually(astray, lambda: not astray())

    # --- what clients see ---

    def page(self, seconds=0):
        """What a request through all four servers answers, which takes so long."""
        address = f"http://127.0.0.1:{self.ports['web']}/?seconds={seconds}"
        with urllib.request.urlopen(address, timeout=PATIENCE) as response:
            return json.load(response)

    def sql(self, text):
        result = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-h", self.socket, "-U", "app", "-c", text, "postgres"],
                                cwd="/", text=True, capture_output=True, timeout=PATIENCE)
        assert result.returncode == 0, result.stderr
        return result.stdout.split()

    def redis(self, *words):
        with socket.create_connection(("127.0.0.1", self.ports["cache"]), PATIENCE) as connection:
            connection.sendall((" ".join(words) + "\r\n").encode())
            with connection.makefile() as answers:
                answer = answers.readline().strip()
                return answers.readline().strip() if answer.startswith("$") else answer

    def answers(self):
        """Each of them, to a real request."""
        assert self.redis("PING") == "+PONG"
        assert self.sql("SELECT 6 * 7") == ["42"]
        before, after = self.page(), self.page()
        assert all(after[key] > before[key] for key in ("cache", "db")), (before, after)

    # --- the end ---

    def end(self):
        """Ends all that is left, however it stands."""
        self.cgrun("down", expect=None)
        self.kill_groups()
        for pid in self.own_processes():
            kill(pid, signal.SIGKILL)
        eventually(lambda: f"nothing runs: {self.told(self.own_processes())}", lambda: not self.own_processes())
