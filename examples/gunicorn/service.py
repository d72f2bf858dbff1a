"""One gunicorn in a job of cgrun's: started, asked, watched, and gone without trace."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE = 60


def eventually(what, condition):
    """The condition's value, once that is true. Nothing passes or fails by time within patience."""
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not seen: {what() if callable(what) else what}")
        time.sleep(0.02)


class Service:
    """`public`: from a copy of all that it needs, in a place that other users may enter."""

    def __init__(
        self,
        stack,
        kind,
        *,
        job=("--mem", "512M", "--pids", "64"),
        app=None,
        options=(),
        public=False,
        **settings,
    ):
        self.stack, self.kind = stack, kind
        self.place = Path(tempfile.mkdtemp(prefix="cgrun-gunicorn-"))
        self.place.chmod(0o777)  # its own, whoever gunicorn runs as
        self.sent = 0
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place),
            "EVENTS": str(self.place / "events"),
            "CGRUN": os.environ["CGRUN"],
            "METRICS": str(self.place / "shop.prom"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **settings,
        }
        here, program = HERE, [f"{stack.venv}/bin/gunicorn"]
        if public:
            here, program = self.place / "copy", [stack.interpreter, "-m", "gunicorn"]
            shutil.copytree(HERE, here, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            shutil.copytree(
                stack.packages,
                here / "packages",
                ignore=shutil.ignore_patterns("__pycache__", "pip*", "setup*"),
            )
            environment["PYTHONPATH"] = str(here / "packages")
        command = [
            *program,
            "--config",
            str(here / "checks.conf.py"),
            "--chdir",
            str(here),
            "--bind",
            f"unix:{self.place}/socket",
            "--pid",
            f"{self.place}/pid",
            "--worker-class",
            stack.classes[kind],
            *options,
            app or ("app:wsgi" if kind == "sync" else "app:asgi"),
        ]
        self.job_cgroups = []
        if job is not None:
            command = [
                os.environ["CGRUN"],
                "--quiet",
                "--kill-mode",
                "mixed",
                "--report",
                f"{self.place}/report",
                *job,
                "--",
                *command,
            ]
        with open(self.place / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=here, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    # What it says

    def log(self):
        return (self.place / "log").read_text(errors="replace")

    def events(self):
        try:
            return [json.loads(line) for line in (self.place / "events").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def next(self, count=1):
        """The next so many events."""
        self.sent += count
        eventually(
            lambda: f"{count} more events after {self.events()}\n{self.log()}",
            lambda: len(self.events()) >= self.sent,
        )
        found = self.events()
        assert len(found) == self.sent, found[self.sent - count :]
        return found[-count:]

    def counts(self):
        text = (self.place / "shop.prom").read_text()
        assert re.search("^# HELP .*\n# TYPE .* counter\n", text), text
        pairs = re.findall(
            r'^cgrun_worker_exits_total\{name="shop",cause="(\w+)"\} (\d+)$', text, re.M
        )
        return {cause: int(count) for cause, count in pairs}

    # What it does

    def ask(self, path="/"):
        """An answer, which begins with the worker's pid; empty if the worker did not survive it."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(f"{self.place}/socket")
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while data := client.recv(4096):
                answer += data
        return answer.partition(b"\r\n\r\n")[2].decode()

    def start_asking(self, path):
        """Without waiting for the answer; the caller closes the client."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{self.place}/socket")
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return client

    def arbiter(self, suffix=""):
        return int(
            eventually(
                lambda: f"pid file\n{self.log()}", lambda: self._read(self.place / f"pid{suffix}")
            )
        )

    def workers(self, arbiter=None):
        arbiter = arbiter or self.arbiter()
        return [
            int(pid) for pid in Path(f"/proc/{arbiter}/task/{arbiter}/children").read_text().split()
        ]

    def serves(self, count=2, arbiter=None):
        """All its workers answer. A request meets any of them."""

        def serving():
            try:
                self.ask()
            except OSError:
                return False
            ready = {
                int(pid) for pid in re.findall(r"\[(\d+)\] \[INFO\] ready to serve", self.log())
            }
            workers = self.workers(arbiter)
            return len(workers) == count and ready.issuperset(workers)

        eventually(lambda: f"{count} workers\n{self.log()}", serving)
        self.job_cgroups = self.find_cgroups()

    def worker(self):
        return int(self.ask().split()[0])

    # What is left of it

    @staticmethod
    def _read(path):
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            return ""

    def find_cgroups(self):
        """The directories of the job, in whichever hierarchies."""
        name = re.findall(r"cgrun-[0-9a-f]{16}", Path(f"/proc/{self.arbiter()}/cgroup").read_text())
        if not name:
            return []
        found = subprocess.run(
            ["find", "/sys/fs/cgroup", "-type", "d", "-name", name[-1]],
            capture_output=True,
            text=True,
        ).stdout
        return [Path(line) for line in found.splitlines()]

    def groups(self):
        """What there is below the job's groups, besides gunicorn's own leaf."""
        return sorted(
            {
                group.name
                for job in self.job_cgroups
                for group in job.iterdir()
                if group.is_dir() and group.name != "arbiter"
            }
        )

    def ends(self, expected=0):
        assert self.process.wait(PATIENCE) == expected, (self.process.returncode, self.log())

    def end(self, number=signal.SIGTERM, expected=0):
        self.process.send_signal(number)
        self.ends(expected)
        self.leaves_nothing()

    def leaves_nothing(self):
        mark = f"HOME={self.place}".encode()

        def survivors():
            return [
                pid for pid in os.listdir("/proc") if pid.isdigit() and mark in environment(pid)
            ]

        eventually(lambda: f"processes gone: {survivors()}", lambda: not survivors())
        eventually(
            lambda: f"cgroups gone: {self.job_cgroups}",
            lambda: not any(job.exists() for job in self.job_cgroups),
        )

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.place)


def environment(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
