"""What becomes of tasks, results and the queue when workers are killed, without cgrun and with it.

    scenarios.py [--output FILE]

Start it with ./run, which installs what it needs. What is left of a killed worker, and of its tools,
is the matter of `cgrun stress`, which examples/stress has for the same tasks.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import importlib
import importlib.metadata
import os
import platform
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import redis

import cgrun_subprocess
import harness
from harness import Process, Table, Worker, marked, names_of, wait_until
from parity import compare

HERE = Path(__file__).resolve().parent

LEAK_TASKS = 200
#: Private memory of one process of the worker. A pool child runs about 100 of the tasks, so this
#: is 5 KiB a task: less than a report (14 KiB as a dictionary), and eight times what was seen.
LEAK_KIBIBYTES = 512


class Kill(enum.Enum):
    """Which process of a worker with two pool children gets the SIGKILL."""

    MAIN = "SIGKILL of the worker's main process"
    CHILD = "SIGKILL of one pool child"


@dataclass(frozen=True)
class Queue:
    """Where the messages are: not yet read, or read and not acknowledged."""

    waiting: int
    unacknowledged: int

    def __str__(self) -> str:
        return f"LLEN {self.waiting}, unacked {self.unacknowledged}"


def chunk_of(number: int) -> list[str]:
    """Ten proxies that no other chunk has."""
    return [f"10.1.{number}.{octet}:{8000 + number}" for octet in range(1, 11)]


def expected(chunk: list[str]) -> list[str]:
    """What a correct check of the chunk returns."""
    return [proxy for proxy in chunk if int(proxy.split(":")[0].rsplit(".", 1)[1]) % 2 == 0]


@dataclass
class Trial:
    """One run of one scenario: its mark, and a folder for its files."""

    mark: str
    folder: Path

    def __post_init__(self) -> None:
        self.gate = self.folder / "gate"
        self.started = self.folder / "started"
        self.folder.mkdir()
        self.started.mkdir()
        self.gate.touch()

    def probe(self, **more: Any) -> dict[str, Any]:
        """Keeps the tool at work until the gate is removed."""
        return {"mark": self.mark, "gate": str(self.gate), "started": str(self.started), **more}

    def runs(self, chunk: list[str]) -> list[int]:
        """The pids of the mubengs that began to work on the chunk, also of those that are gone."""
        return [int(path.name) for path in self.started.iterdir()
                if path.name.isdecimal() and path.read_text() == chunk[0]]


@dataclass
class Scenarios:
    """The scenarios, each for one of the two variants, and what they share."""

    folder: Path
    environment: dict[str, str]
    store: redis.Redis
    tasks: ModuleType
    table: Table
    #: The names of all cgroups that were seen or reported.
    cgroups: set[str] = field(default_factory=set)

    @contextlib.contextmanager
    def trial(self) -> Iterator[Trial]:
        """Ends with the end of everything that has the trial's mark."""
        mark = f"{self.environment[harness.RUN_VARIABLE]}.{secrets.token_hex(4)}"
        try:
            yield Trial(mark, self.folder / mark)
        finally:
            harness.kill_marked(mark)

    def worker(self, contained: bool) -> Worker:
        """A worker with either variant of the tasks."""
        return Worker(self.folder, self.environment, contained)

    def queue(self) -> Queue:
        """The broker's state."""
        return Queue(self.store.llen("celery"), self.store.hlen("unacked"))

    def note_cgroups(self, mark: str) -> None:
        """Remembers the cgroups of what is running."""
        for process in marked(mark):
            self.cgroups |= process.cgroups()

    def outcome(self, result: Any, wanted: list[str] | None = None) -> str:
        """`exact`, or what is wrong with the result."""
        try:
            value = result.get(timeout=harness.DEADLINE_SECONDS)
        except Exception as error:  # Celery remakes whatever the task raised.
            return f"{type(error).__name__}: {error}"
        if value["cgroup"]:
            self.cgroups.add(value["cgroup"])
        return "exact" if wanted in (None, value["proxies"]) else "wrong proxies"

    def report_results(self, name: str, contained: bool, outcomes: list[str], wanted: int) -> None:
        """How many results are exact, and what the others say."""
        counts = Counter(outcomes)
        exact = counts.pop("exact", 0)
        text = f"{exact} of {len(outcomes)} exact" + "".join(f"; {wrong}" for wrong in counts)
        self.table.add(name, "results", contained, text, exact == wanted)

    def normal_run(self, contained: bool) -> None:
        """A scrape and four checks; two of these leave a stray, as a daemonizing tool does."""
        name = "normal run"
        with self.trial() as trial, self.worker(contained):
            chunks = [chunk_of(number) for number in range(4)]
            results = [(self.tasks.scrape.delay({"mark": trial.mark}), None)] + [
                (self.tasks.check_proxy_chunk.delay(
                    chunk, {"mark": trial.mark, "stray": number >= 2}), expected(chunk))
                for number, chunk in enumerate(chunks)]
            outcomes = [self.outcome(*result) for result in results]
            left = marked(trial.mark)
            self.report_results(name, contained, outcomes, 5)
            self.table.add(name, "survivors", contained, names_of(left), bool(left) != contained)
            wait_until(lambda: self.queue() == Queue(0, 0), "an empty queue")

    def task_timeout(self, contained: bool) -> None:
        """What becomes of a check that does not end when `run(timeout=1)` gives up."""
        name = "`run(timeout=1)` expires"
        with self.trial() as trial, self.worker(contained):
            result = self.tasks.check_proxy_chunk.delay(
                chunk_of(0), trial.probe(stray=True, timeout=1))
            wait_until(lambda: trial.runs(chunk_of(0)), "mubeng at work")
            self.note_cgroups(trial.mark)
            error = self.outcome(result).split(":")[0]
            left = marked(trial.mark)
            self.table.add(name, "the task raises", contained, error, error == "TimeoutExpired")
            self.table.add(name, "survivors", contained, names_of(left), bool(left) != contained)

    def redelivery(self, contained: bool, kill: Kill) -> None:
        """Four chunks. The first two are at work; one of them has a port and a stray."""
        name, chunks, port = kill.value, [chunk_of(n) for n in range(4)], harness.free_port()
        with self.trial() as trial, contextlib.ExitStack() as workers:
            worker = workers.enter_context(self.worker(contained))
            probes = [trial.probe(listen=port, stray=True), trial.probe()]
            probes += [{"mark": trial.mark}] * 2
            results = [self.tasks.check_proxy_chunk.delay(chunk, probe)
                       for chunk, probe in zip(chunks, probes, strict=True)]
            wait_until(lambda: trial.runs(chunks[0]) and trial.runs(chunks[1]), "the pool at work")
            self.note_cgroups(trial.mark)

            if kill is Kill.CHILD:
                self.pool_child_of(worker, trial.runs(chunks[0])[0]).kill()
            else:
                pool = worker.pool()
                worker.kill_main()
                wait_until(lambda: not any(p.is_alive() for p in pool), "the end of the pool")
                if contained:
                    wait_until(lambda: not marked(trial.mark), "the end of the tools")
                queue = self.queue()
                self.table.add(name, "queue after the kill", contained, str(queue),
                               queue.waiting + queue.unacknowledged == len(chunks))
                # As if the visibility timeout, an hour by default, were over. (After the loss of
                # a pool child, the main process itself puts the message back.)
                tags: Any = self.store.zrange("unacked_index", 0, -1)
                self.store.zadd("unacked_index", dict.fromkeys(tags, 0))
                workers.enter_context(self.worker(contained))
                wait_until(lambda: len(trial.runs(chunks[1])) == 2, "chunk 1 at work again")
                at_work = sum(Process.read(pid) is not None for pid in trial.runs(chunks[1]))
                self.table.add(name, "runs at work on chunk 1", contained, str(at_work),
                               at_work == (1 if contained else 2))
            wait_until(lambda: len(trial.runs(chunks[0])) == 2 or results[0].ready(),
                       "chunk 0 delivered again")
            self.note_cgroups(trial.mark)
            trial.gate.unlink()
            outcomes = [self.outcome(result, expected(chunk))
                        for result, chunk in zip(results, chunks, strict=True)]
            self.report_results(name, contained, outcomes, 4 if contained else 3)
            wait_until(lambda: self.queue() == Queue(0, 0), "an empty queue")
            self.table.add(name, "queue in the end", contained, str(self.queue()), True)

    @staticmethod
    def pool_child_of(worker: Worker, pid: int) -> Process:
        """The pool child that started the tool with this pid."""
        tool = Process.read(pid)
        assert tool is not None, "the tool ended behind its closed gate"
        return next(p for p in tool.ancestors() if p.parent == worker.pid)

    def leaks(self, contained: bool) -> None:
        """What the worker has more after 200 tasks than before."""
        name = f"{LEAK_TASKS} tasks in one worker"
        with self.trial() as trial, self.worker(contained) as worker:
            def work(count: int) -> list[str]:
                results = [(self.tasks.check_proxy_chunk.delay(chunk, {"mark": trial.mark}),
                            expected(chunk)) for chunk in map(chunk_of, range(count))]
                return [self.outcome(*result) for result in results]

            work(LEAK_TASKS // 10)  # Imports, caches, connections.
            members = [worker.main(), *worker.pool()]
            before = list(map(harness.usage, members))
            begin = time.monotonic()
            outcomes = work(LEAK_TASKS)
            seconds = time.monotonic() - begin
            growth = list(zip(before, map(harness.usage, members), strict=True))
            self.report_results(name, contained, outcomes, LEAK_TASKS)
            descriptors = max(after.descriptors - before.descriptors for before, after in growth)
            self.table.add(name, "more descriptors", contained, str(descriptors), descriptors <= 0)
            memory = max(after.kibibytes - before.kibibytes for before, after in growth)
            self.table.add(name, "more private memory", contained, f"{memory} KiB",
                           memory <= LEAK_KIBIBYTES)
            left = marked(trial.mark)
            self.table.add(name, "survivors", contained, names_of(left), not left)
            self.table.add(name, "time a task", contained,
                           f"{seconds / LEAK_TASKS * 1000:.0f} ms", None)

    def drop_in(self, contained: bool) -> None:
        """Whether the module does what `subprocess` does."""
        calls, differences = compare()
        text = f"{calls - len(differences)} of {calls} calls"
        self.table.add("drop-in for `subprocess`", "same outcome", contained,
                       "; ".join([text, *differences]), not differences)

    def leftovers(self, contained: bool) -> None:
        """The cgroups of all jobs so far."""
        left = harness.remaining_cgroups(self.cgroups)
        self.table.add("in the end", "cgroups left", contained,
                       f"{len(left)} of {len(self.cgroups)}",
                       not left and len(self.cgroups) > LEAK_TASKS)

    def limits(self, contained: bool) -> None:
        """What the report says of jobs that hit a limit, or leave processes behind."""
        name = "limits, and the report"
        hungry = [sys.executable, "-c", "bytearray(256 << 20)"]
        slow, daemon = ["sleep", "60"], ["sh", "-c", "setsid sleep 60 &"]
        for measured, call, status, wanted, strays_wanted in (
                ("`mem=\"32M\"`, 256 MiB used", {"args": hungry, "mem": "32M"},
                 -signal.SIGKILL, "oom_own_limit", 0),
                ("`timeout_wall=0.5`, 60 s needed", {"args": slow, "timeout_wall": 0.5},
                 124, "timeout_wall", 0),
                ("a daemon started", {"args": daemon}, 0, "normal", 1)):
            done = cgrun_subprocess.run(**call)
            report = done.report or {}
            self.cgroups.add(f"cgrun-{report.get('job_id')}")
            cause = report.get("cause")
            strays = len(report.get("strays", []))
            text = f"{done.returncode}, {cause}" + f", {strays} killed" * bool(strays)
            self.table.add(name, measured, contained, text,
                           (done.returncode, cause, strays) == (status, wanted, strays_wanted))

    def all(self) -> None:
        """Everything."""
        self.attempt(self.drop_in, True)
        self.attempt(self.limits, True)
        for scenario in (self.normal_run, self.task_timeout):
            for contained in (False, True):
                self.attempt(scenario, contained)
        for kill in Kill:
            for contained in (False, True):
                self.attempt(self.redelivery, contained, kill)
        self.attempt(self.leaks, True)
        self.attempt(self.leftovers, True)

    def attempt(self, scenario: Callable[..., None], contained: bool, *arguments: Any) -> None:
        """One scenario that cannot go on is a failure; the next ones begin afresh."""
        self.store.flushdb()
        log = self.folder / "worker.log"
        log.write_text("")
        try:
            scenario(contained, *arguments)
        except (AssertionError, StopIteration, OSError, subprocess.SubprocessError) as error:
            name = " ".join([scenario.__name__, *map(str, arguments)])
            text = f"{type(error).__name__}: {error}"
            self.table.add(name, "ran to its end", contained, text, False)
            print(log.read_text(), file=sys.stderr)


def conditions() -> str:
    """One line about what the table was made with."""
    cgrun = subprocess.run(
        [os.environ["CGRUN"], "--version"], stdout=subprocess.PIPE, text=True, check=False)
    packages = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("celery", "kombu", "redis"))
    hierarchy = "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "hybrid"
    return (f"cgrun {cgrun.stdout.strip()}, Linux {platform.release()} (cgroups: {hierarchy}), "
            f"Python {platform.python_version()}, {packages}\n")


class Stopped(BaseException):
    """A signal asked for the end."""


_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _handle(number: int, _: object) -> None:
    for ending in _ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise Stopped(number)


@contextlib.contextmanager
def workplace(token: str) -> Iterator[Path]:
    """A temporary folder. It goes with everything that was started, also at a Ctrl-C."""
    for number in _ENDINGS:
        signal.signal(number, _handle)
    with tempfile.TemporaryDirectory(prefix="cgrun-celery-") as folder:
        try:
            yield Path(folder)
        finally:
            harness.kill_marked(token)


def main() -> int:
    """Runs the scenarios; returns the exit status."""
    parser = argparse.ArgumentParser(description="Kill workers; tell what becomes of tasks.")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table there, too")
    options = parser.parse_args()

    begin = time.monotonic()
    token = f"celery-example-{secrets.token_hex(8)}"
    table = Table()
    with workplace(token) as folder:
        environment = {
            **os.environ, harness.RUN_VARIABLE: token, "PYTHONPATH": str(HERE),
            "TMPDIR": str(folder), "REDIS_URL": f"redis+socket://{folder}/redis.sock"}
        with harness.redis_server(folder, environment) as store:
            os.environ["REDIS_URL"] = environment["REDIS_URL"]  # For the producer, here.
            tasks = importlib.import_module("tasks")
            Scenarios(folder, environment, store, tasks, table).all()
    text = table.markdown() + "\n" + conditions()
    print(text)
    if options.output:
        options.output.write_text(text)
    passed, failed = table.count()
    print(f"in {time.monotonic() - begin:.0f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stopped as stopped:
        # All is cleaned up. A regular exit would make Celery look for the results that are still
        # pending, in a Redis that is gone, for 20 s.
        os._exit(128 + stopped.args[0])
