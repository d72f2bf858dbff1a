"""What the scenarios stand on: processes as /proc shows them, Redis, workers, and the table.

Nothing here trusts a process name or a process group: a process belongs to a run if the run's mark
is in its environment or its arguments, and it is only ever signalled through a pidfd, so that a
recycled pid cannot be hit.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis

#: In the environment of everything that one invocation of the scenarios starts.
RUN_VARIABLE = "CELERY_EXAMPLE_RUN"
#: For anything that has to happen: far above what a loaded machine needs.
DEADLINE_SECONDS = 20.0
#: How long cgrun has to tidy up before it is killed, too. The slowest tree is gone in a fraction of it.
TIDYING_SECONDS = 3.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Polls; a condition that does not come true in time ends the scenarios."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {DEADLINE_SECONDS:.0f} s: {what}")
        time.sleep(0.005)


# Processes


@dataclass(frozen=True)
class Process:
    """A process that was seen once; it may be gone."""

    pid: int
    comm: str
    parent: int
    #: In clock ticks since boot; with the pid, it names a process for good.
    started: int

    @classmethod
    def read(cls, pid: int) -> Process | None:
        """None if it is gone, or dead and only not waited for."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return None
        comm, _, rest = stat.partition("(")[2].rpartition(")")
        fields = rest.split()
        return None if fields[0] in "ZX" else cls(pid, comm, int(fields[1]), int(fields[19]))

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        now = Process.read(self.pid)
        return now is not None and now.started == self.started

    def ancestors(self) -> Iterator[Process]:
        """Begins with the process itself."""
        process: Process | None = self
        while process is not None and process.pid > 1:
            yield process
            process = Process.read(process.parent)

    def cgroups(self) -> set[str]:
        """The names of the cgrun cgroups that it is in, in all hierarchies."""
        try:
            lines = Path(f"/proc/{self.pid}/cgroup").read_text().splitlines()
        except OSError:
            return set()
        return {part for line in lines for part in line.split("/") if part.startswith("cgrun-")}

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signals the process unless it is gone."""
        if self.pid <= 1 or self.pid == os.getpid():
            raise ValueError(f"not a process to kill: {self}")
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.is_alive():
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)


def processes() -> Iterator[Process]:
    """All that live, except this one."""
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            process = Process.read(int(name))
            if process is not None:
                yield process


def marked(mark: str) -> list[Process]:
    """The processes with this mark in their environment or their arguments."""
    found = []
    for process in processes():
        for name in ("environ", "cmdline"):
            with contextlib.suppress(OSError):
                if mark.encode() in Path(f"/proc/{process.pid}/{name}").read_bytes():
                    found.append(process)
                    break
    return found


def children(pid: int) -> list[Process]:
    """The direct children."""
    return [process for process in processes() if process.parent == pid]


def kill_marked(mark: str) -> None:
    """Kills until nothing with the mark is left, forks in progress included.

    What belongs to cgrun has its chance to tidy up first: its jobs die with what started them.
    """
    patience = time.monotonic() + TIDYING_SECONDS

    def none_left() -> bool:
        left = marked(mark)
        for process in left:
            if not process.comm.startswith("cgrun") or time.monotonic() > patience:
                process.kill()
        return not left

    wait_until(none_left, f"the end of everything marked {mark}")


@dataclass(frozen=True)
class Usage:
    """What a process holds."""

    descriptors: int
    kibibytes: int


def usage(process: Process) -> Usage:
    """Open descriptors, and memory that it shares with nobody's file."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    anonymous = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return Usage(len(os.listdir(f"/proc/{process.pid}/fd")), int(anonymous.split()[1]))


def remaining_cgroups(names: set[str]) -> list[Path]:
    """The directories in any hierarchy that have one of these names."""
    return [Path(folder, name) for folder, below, _ in os.walk("/sys/fs/cgroup")
            for name in below if name in names]


def names_of(found: list[Process]) -> str:
    """For the table: `3 (2 mubeng, 1 sh)`."""
    counts = Counter(process.comm for process in found)
    parts = ", ".join(f"{count} {comm}" for comm, count in sorted(counts.items()))
    return f"{len(found)} ({parts})" if found else "0"


# Ports


def free_port() -> int:
    """One that nobody listens on, and that the kernel gives to no client between two mubengs."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(min(10_000, first // 2), first), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


# Redis and workers


def _start(command: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Starts a service that dies with this process, and that a Ctrl-C does not reach."""
    with log.open("ab") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command], stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, cwd=log.parent, env=environment, start_new_session=True)


@contextlib.contextmanager
def redis_server(folder: Path, environment: dict[str, str]) -> Iterator[redis.Redis]:
    """A Redis of our own: a socket in the folder, no port, nothing on disk."""
    # One program under several names; redis-check-rdb comes without the system service.
    program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    if program is None:
        raise FileNotFoundError("redis-server is not installed")
    named = folder / "redis-server"
    named.symlink_to(program)
    path = folder / "redis.sock"
    server = _start(
        [str(named), "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"],
        folder / "redis.log", environment)
    client = redis.Redis(unix_socket_path=str(path))

    def answers() -> bool:
        if server.poll() is not None:
            raise ChildProcessError((folder / "redis.log").read_text())
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    try:
        wait_until(answers, "an answer from Redis")
        yield client
    finally:
        client.close()
        server.kill()
        server.wait()


class Worker:
    """A Celery worker with two pool children."""

    def __init__(self, folder: Path, environment: dict[str, str], contained: bool) -> None:
        self.log = folder / "worker.log"
        self._service = _start(
            [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork",
             "--concurrency", "2", "--loglevel", "WARNING", "--without-gossip", "--without-mingle",
             "--without-heartbeat"],
            self.log, {**environment, "CGRUN_STRESS": "cgrun" if contained else "bare"})
        self.pid = self._service.pid

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def pool(self) -> list[Process]:
        """The pool children."""
        return children(self.pid)

    def main(self) -> Process:
        """The process that talks to the broker."""
        process = Process.read(self.pid)
        if process is None:
            raise ChildProcessError("the worker died")
        return process

    def kill(self) -> None:
        """SIGKILL to the main process and to the pool children, with no moment in between.

        The main process is stopped meanwhile: it would otherwise see its children die first, and
        act on it.
        """
        with contextlib.suppress(ChildProcessError):
            main = self.main()
            main.kill(signal.SIGSTOP)
            for child in self.pool():
                child.kill()
            main.kill()
        self._service.wait()

    def kill_main(self) -> None:
        """SIGKILL to the main process alone."""
        self.main().kill()
        self._service.wait()


# The table


@dataclass
class Cell:
    """One observation, and whether it is what is promised (or, without cgrun, the known harm)."""

    text: str
    #: None: nothing is promised.
    as_expected: bool | None

    def __str__(self) -> str:
        return f"**{self.text}: NOT AS EXPECTED**" if self.as_expected is False else self.text


@dataclass
class Table:
    """Rows of scenario and measurement; a column without cgrun and one with it."""

    rows: dict[tuple[str, str], dict[bool, Cell]] = field(default_factory=dict)

    def add(self, scenario: str, measured: str, contained: bool, text: str,
            good: bool | None) -> None:
        """Records an observation; shows it on stderr at once."""
        self.rows.setdefault((scenario, measured), {})[contained] = Cell(text, good)
        verdict = {True: "ok  ", False: "FAIL", None: "    "}[good]
        variant = "with   " if contained else "without"
        print(f"{verdict} {variant}  {scenario}: {measured}: {text}", file=sys.stderr, flush=True)

    def count(self) -> tuple[int, int]:
        """How many observations passed, and how many failed."""
        cells = [cell for row in self.rows.values() for cell in row.values()]
        verdicts = [cell.as_expected for cell in cells]
        return verdicts.count(True), verdicts.count(False)

    def markdown(self) -> str:
        """The table; a scenario's name stands in its first row only."""
        lines = ["| scenario | measured | without cgrun | with cgrun |", "|---|---|---|---|"]
        previous = None
        for (scenario, measured), cells in self.rows.items():
            name = scenario if scenario != previous else ""
            texts = [name, measured, str(cells.get(False, "—")), str(cells.get(True, "—"))]
            lines.append(f"| {' | '.join(texts)} |")
            previous = scenario
        return "\n".join(lines) + "\n"
