"""The end of a worker: a line for the log, a line of JSON, and a count."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import time
from collections import Counter
from datetime import datetime, timezone
from typing import Any

from .verdict import CAUSES, LIFECYCLE, Note, Seen, Usage, Verdict, mebibytes, signal_name

METRIC = "cgrun_worker_exits_total"
HEADER = f"# HELP {METRIC} Workers that have ended, by cause.\n# TYPE {METRIC} counter\n"


def level(seen: Seen, verdict: Verdict) -> int:
    if verdict.cause in LIFECYCLE:
        return logging.WARNING if signal.SIGKILL in seen.sent else logging.INFO
    left = verdict.cause == "exit" and seen.code == 0
    mild = left or verdict.cause in ("sigterm_from_elsewhere", "unknown")
    return logging.WARNING if mild else logging.ERROR


def line(seen: Seen, usage: Usage, verdict: Verdict) -> str:
    facts = [verdict.cause, verdict.confidence, f"after {time.monotonic() - seen.started:.1f} s"]
    if usage.peak is not None:
        limit = f" of {mebibytes(usage.limit)}" if usage.limit else ""
        facts.append(f"memory peak {mebibytes(usage.peak)}{limit}")
    if usage.strays:
        left = ", ".join(f"{stray['comm']} ({stray['pid']})" for stray in usage.strays)
        facts.append(f"left behind: {left}")
    return f"worker {seen.ordinal} (pid {seen.pid}) {verdict.words} [{'; '.join(facts)}]"


def event(name: str, arbiter: int, seen: Seen, usage: Usage, verdict: Verdict) -> dict[str, Any]:
    """Keys, and null for what is not known, as in cgrun's report."""
    number = seen.signal
    return {
        "schema": 1,
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds")[:-6] + "Z",
        "name": name,
        "arbiter_pid": arbiter,
        "pid": seen.pid,
        "worker": seen.ordinal,
        "age_seconds": round(time.monotonic() - seen.started, 3),
        "booted": bool(seen.note.read(Note.BOOTED)),
        "aborted": seen.aborted,
        "result": "dumped" if seen.dumped else "signaled" if number else "exited",
        "exit_code": seen.code,
        "signal": {"number": number, "name": signal_name(number)} if number else None,
        "core_dumped": seen.dumped,
        "cause": verdict.cause,
        "confidence": verdict.confidence,
        "evidence": verdict.evidence,
        "memory": {
            "peak_bytes": usage.peak,
            "max_bytes": usage.limit,
            "oom_kills": usage.kills,
        },
        "cpu": {"usage_seconds": usage.cpu_seconds},
        "strays": usage.strays,
    }


def append(target: str | int, value: dict[str, Any]) -> None:
    """In one system call: several arbiters may write to the file."""
    text = (json.dumps(value) + "\n").encode()
    if isinstance(target, int):
        os.write(target, text)
        return
    descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)


class Counts:
    """The textfile collector's file, which keeps the counts over restarts of gunicorn."""

    def __init__(self) -> None:
        self.pending: Counter[tuple[str, str, str]] = Counter()
        self.writing = False

    def add(self, path: str, name: str, cause: str, number: int) -> None:
        self.pending[path, name, cause] += number
        if self.writing:
            return  # this is a signal's handler, and what it has interrupted will find the count
        self.writing = True
        try:
            while self.pending:
                path, name, cause = next(iter(self.pending))
                self._update(path, name, cause, self.pending.pop((path, name, cause)))
        finally:
            self.writing = False

    def _update(self, path: str, name: str, cause: str, count: int) -> None:
        """All causes are there from the start: what appears as 1 is no increase to Prometheus."""
        # The lock is for the arbiters of one deployment. The collector reads only *.prom.
        lock = os.open(f"{path}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            values = {self.key(name, each): 0 for each in CAUSES}
            try:
                with open(path, encoding="utf-8") as stream:
                    for text in stream:
                        if text.startswith(f"{METRIC}{{"):
                            key, _, value = text.rpartition(" ")
                            values[key] = int(value)
            except FileNotFoundError:
                pass
            values[self.key(name, cause)] += count
            with open(f"{path}.new", "w", encoding="utf-8") as stream:
                stream.write(HEADER)
                stream.writelines(f"{key} {value}\n" for key, value in values.items())
            os.replace(f"{path}.new", path)
        finally:
            os.close(lock)

    @staticmethod
    def key(name: str, cause: str) -> str:
        label = name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        return f'{METRIC}{{name="{label}",cause="{cause}"}}'
