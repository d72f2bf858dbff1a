"""Why a worker has ended, judged from what is known of it."""

from __future__ import annotations

import mmap
import re
import signal
from dataclasses import dataclass, field

from .cgroups import Group, with_memory

LIFECYCLE = ("scale_down", "reload", "deploy", "shutdown", "max_requests")
CAUSES = LIFECYCLE + (
    "timeout",
    "oom_own_limit",
    "oom_ancestor",
    "boot_failure",
    "crash",
    "exit",
    "sigterm_from_elsewhere",
    "sigkill_from_elsewhere",
    "unknown",
)
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
CRASHES = tuple(signal.Signals[f"SIG{name}"] for name in "ABRT BUS FPE ILL SEGV SYS TRAP".split())


class Note:
    """What a worker tells the arbiter, in a page that both have: there, whatever it dies of."""

    BOOTED, MAX_REQUESTS, TOLD = range(3)

    def __init__(self) -> None:
        self.page = mmap.mmap(-1, mmap.PAGESIZE)

    def write(self, place: int, value: int = 1) -> None:
        self.page[place] = value

    def read(self, place: int) -> int:
        return self.page[place]


@dataclass
class Seen:
    """One worker, from its fork on."""

    ordinal: int
    started: float
    note: Note
    machine_oom_kills: int | None
    job_limit_hits: int | None
    pid: int = 0
    status: int = 0  # as waitpid has it
    sent: dict[int, str] = field(default_factory=dict)  # signals of the arbiter, and what for
    aborted: bool = False

    @property
    def signal(self) -> int:
        return self.status & 127

    @property
    def dumped(self) -> bool:
        return self.status & 128 != 0

    @property
    def code(self) -> int | None:
        return None if self.signal else self.status >> 8

    @property
    def told(self) -> int:
        """The signal that it died of, or that it was told before it exited by itself."""
        return self.signal or self.note.read(Note.TOLD)


class Usage:
    """What the kernel says of a worker at its end. `groups` are the worker's, `job` the job's."""

    def __init__(self, groups: list[Group], job: list[Group], seen: Seen) -> None:
        group, above = with_memory(groups), with_memory(job)
        self.peak = group.memory_peak() if group else None
        self.limit = group.memory_limit() if group else None
        self.kills = group.oom_kills() if group else None
        self.limit_hits = group.limit_hits() if group else None
        hits = (above.limit_hits() if above else None) or 0
        # Once v1 has counted 1, it cannot tell of another.
        before = 0 if above and above.version == 1 else seen.job_limit_hits or 0
        self.job_limit_hit = hits > before
        self.machine_kills = (machine_oom_kills() or 0) - (seen.machine_oom_kills or 0)
        unified = next((group for group in groups if group.version == 2), None)
        used = unified.number("cpu.stat", "usage_usec") if unified else None
        self.cpu_seconds = None if used is None else used / 1e6
        words = unified.read("memory.pressure") if unified else None
        match = re.search(r"full avg10=([\d.]+)", words or "")
        self.pressure = float(match[1]) if match else 0.0
        self.strays = unified.processes() if unified else []


@dataclass
class Verdict:
    cause: str
    confidence: str
    words: str
    evidence: list[dict[str, str]] = field(default_factory=list)

    def saw(self, source: str, value: object) -> None:
        self.evidence.append({"source": source, "value": str(value)})


def machine_oom_kills() -> int | None:
    return Group("/proc", 0).number("vmstat", "oom_kill")


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def judge(seen: Seen, usage: Usage, timeout: float, graceful_timeout: float) -> Verdict:
    verdict = _cause(seen, usage, timeout, graceful_timeout)
    died = f"killed by {signal_name(seen.signal)}" if seen.signal else f"exited with {seen.code}"
    verdict.saw("wait status, by gunicorn's log", died + (", core dumped" if seen.dumped else ""))
    for number, purpose in seen.sent.items():
        verdict.saw("signal of the arbiter", f"{signal_name(number)} ({purpose})")
    if seen.note.read(Note.TOLD):
        verdict.saw("signal that the worker handled", signal_name(seen.note.read(Note.TOLD)))
    if seen.aborted:
        verdict.saw("worker.aborted", "true")
    if not seen.note.read(Note.BOOTED):
        verdict.saw("application loaded", "no")
    if seen.note.read(Note.MAX_REQUESTS):
        verdict.saw("words of the worker", "it has served its requests")
    if usage.kills is not None:
        verdict.saw("oom_kill of its cgroup", usage.kills)
        if usage.kills:
            verdict.saw("limit of its cgroup hit", usage.limit_hits)
    elif usage.machine_kills:
        verdict.saw("oom_kill of /proc/vmstat, meanwhile", usage.machine_kills)
    if usage.pressure >= 10:
        verdict.saw("memory.pressure of its cgroup, full avg10", usage.pressure)
    return verdict


def _cause(seen: Seen, usage: Usage, timeout: float, graceful_timeout: float) -> Verdict:
    """What the arbiter did itself beats what is inferred."""
    code, number = seen.code, seen.signal
    purpose = next((seen.sent[number] for number in STOPS if number in seen.sent), None)
    killed = number == signal.SIGKILL and signal.SIGKILL not in seen.sent
    if killed and usage.kills:
        return _out_of_memory(usage)
    if seen.aborted:
        words = f"did not report for {timeout:g} s (timeout), and was ended by gunicorn"
        return Verdict("timeout", "certain", words)
    if killed and usage.kills is None and usage.machine_kills:
        words = "got SIGKILL while the kernel killed processes for memory"
        return Verdict("oom_ancestor", "possible", words)
    if killed:
        words = "got SIGKILL, not from gunicorn and not for memory"
        return Verdict("sigkill_from_elsewhere", "certain", words)
    if number == signal.SIGKILL:
        limit = f"{graceful_timeout:g} s (graceful_timeout)"
        words = f"did not end within {limit}, and was killed by gunicorn"
        return Verdict(purpose or "unknown", "certain", words)
    if code and not seen.note.read(Note.BOOTED):
        words = f"exited with {code} before its application was loaded"
        return Verdict("boot_failure", "certain" if code in (3, 4) else "likely", words)
    if purpose and (code == 0 or number in STOPS):
        return Verdict(purpose, "certain", "ended as gunicorn had told it to")
    if code == 0 and seen.note.read(Note.MAX_REQUESTS):
        return Verdict("max_requests", "certain", "had served its max_requests")
    if (code == 0 or number) and seen.told == signal.SIGTERM:
        return Verdict("sigterm_from_elsewhere", "certain", "got SIGTERM, not from gunicorn")
    if code == 255:
        words = "exited with 255, as gunicorn's workers do after an exception"
        return Verdict("crash", "likely", words)
    if code in (3, 4):
        words = f"exited with {code} by itself, which gunicorn takes for a failed boot: it ends"
        return Verdict("exit", "certain", words)
    if code is not None and seen.told:
        words = f"exited with {code} after {signal_name(seen.told)}, not from gunicorn"
        return Verdict("exit", "certain", words)
    if code is not None:
        # With 0, a worker of a class that handles signals its own way may have got one.
        return Verdict("exit", "certain" if code else "likely", f"exited with {code} by itself")
    if number in CRASHES:
        return Verdict("crash", "certain", f"crashed with {signal_name(number)}")
    return Verdict("unknown", "possible", f"got {signal_name(number)}, not from gunicorn")


def _out_of_memory(usage: Usage) -> Verdict:
    """The worker's cgroup counts a kill. Whose limit it was, the hits of its own limit tell."""
    if not usage.limit_hits:
        words = "was killed by the kernel for memory, at a limit above its own"
        return Verdict("oom_ancestor", "certain", words)
    words = "was killed by the kernel at its own memory limit"
    return Verdict("oom_own_limit", "likely" if usage.job_limit_hit else "certain", words)
