"""What one arbiter knows, hears and tells of its workers."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any, Callable

from . import settings, telling
from .cgroups import Group, make, with_memory
from .verdict import STOPS, Note, Seen, Usage, Verdict, judge, machine_oom_kills, signal_name

EXITED = re.compile(r"Worker \(pid:(\d+)\) exited with code (\d+)")
SENT = re.compile(r"Worker \(pid:(\d+)\) was sent (SIG\w+|(?:code|signal) \d+)!")


class Watch:
    """Is kept by the arbiter, since it outlives SIGHUP, which reads gunicorn.conf.py anew.

    gunicorn hands no exit status to child_exit. But it tells its log just before, so this listens
    to what the arbiter tells, and to the signals that it sends. A handler of the log would miss
    what is below the configured level; the methods of the arbiter's own log object miss nothing.
    """

    def __init__(self, server: Any) -> None:
        self.server = server
        self.pid = os.getpid()
        self.groups: list[Group] = []  # the job's, if each worker gets one in them
        self.left: list[Group] = []  # of workers that have ended, to be removed
        self.workers: dict[int, Any] = {}  # gunicorn's objects, by the order of their forks
        self.statuses: dict[int, int] = {}
        self.purpose: str | None = None
        self.held: list[tuple[Seen, Usage, Verdict]] = []
        self.counts = telling.Counts()
        self.note: Note | None = None  # in a worker, its own
        for name in ("info", "warning", "error", "critical"):
            setattr(server.log, name, self._overheard(getattr(server.log, name)))
        server.kill_worker = self._noted(server.kill_worker)

    def _overheard(self, tell: Callable[..., Any]) -> Callable[..., Any]:
        def overheard(message: Any, *arguments: Any, **options: Any) -> Any:
            result = tell(message, *arguments, **options)
            try:
                self.hears(str(message) % arguments if arguments else str(message))
            except Exception as error:  # what fails here must not harm the service
                tell("cgrun: %s: %r", message, error)
            return result

        return overheard

    def _noted(self, kill_worker: Callable[[int, int], Any]) -> Callable[[int, int], Any]:
        def noted(pid: int, number: int) -> Any:
            worker = self.worker(pid)
            if worker is not None and number in (*STOPS, signal.SIGKILL, signal.SIGABRT):
                purpose = "timeout" if worker.aborted else self.purpose or "scale_down"
                worker.cgrun.sent.setdefault(number, purpose)
            return kill_worker(pid, number)

        return noted

    def hears(self, text: str) -> None:
        if self.note is not None:
            if text.startswith("Autorestarting worker"):
                self.note.write(Note.MAX_REQUESTS)
            return
        handling = re.match(r"Handling signal: (\w+)", text)
        if handling:
            self.handles(handling[1])
        exited, sent = EXITED.match(text), SENT.match(text)
        if exited:
            self.statuses[int(exited[1])] = int(exited[2]) << 8
        elif sent:
            kind, _, number = sent[2].partition(" ")
            self.statuses[int(sent[1])] = int(number) if number else signal.Signals[kind]
        if exited and exited[2] in ("3", "4"):
            # gunicorn takes this for a failed boot, ends, and never calls child_exit for it.
            self.purpose = "shutdown"
            worker = self.worker(int(exited[1]))
            if worker is not None:
                self.ended(worker)

    def handles(self, name: str) -> None:
        """From here on, workers are told to end for another reason."""
        stop = "deploy" if self.server.reexec_pid else "shutdown"
        winch = "deploy" if self.server.reexec_pid else "scale_down"
        purposes = {"term": stop, "int": stop, "quit": stop, "hup": "reload", "winch": winch}
        purpose = {**purposes, "ttou": "scale_down"}.get(name)
        if name != "chld" and name != "cld":
            self.release(name, purposes.get(name))
        self.purpose = purpose or self.purpose

    def worker(self, pid: int) -> Any:
        """Also where gunicorn has forgotten it already. Its pid was not known yet to pre_fork."""
        return next((worker for worker in self.workers.values() if worker.pid == pid), None)

    def forks(self, worker: Any) -> None:
        signals = self.server.SIG_QUEUE  # a list; a queue in later versions
        if not signals if isinstance(signals, list) else signals.empty():
            self.release()
        self.sweep()
        job = with_memory(self.groups)
        hits = job.limit_hits() if job else None
        worker.cgrun = Seen(worker.age, time.monotonic(), Note(), machine_oom_kills(), hits)
        self.workers[worker.age] = worker

    def forked(self, worker: Any) -> None:
        """In the worker, as the user that gunicorn was started as."""
        self.note = worker.cgrun.note
        groups = [group.child(f"worker-{os.getpid()}") for group in self.groups]
        limit = settings.current.memory_max
        try:
            make(groups, limit)
            for group in groups:
                group.write("cgroup.procs", os.getpid())
        except (LookupError, OSError) as error:
            if limit is not None:
                raise unenforceable(error) from None
            self.server.log.warning("cgrun: the worker gets no cgroup of its own: %s", error)

    def ended(self, worker: Any) -> None:
        """Where gunicorn says nothing of a worker's end, the worker has exited with 0."""
        if self.workers.pop(worker.age, None) is None:
            return
        seen: Seen = worker.cgrun
        seen.pid, seen.aborted = worker.pid, worker.aborted
        seen.status = self.statuses.pop(seen.pid, 0)
        groups = [group.child(f"worker-{seen.pid}") for group in self.groups]
        groups = [group for group in groups if os.path.isdir(group.path)]
        usage = Usage(groups, self.groups, seen)
        cfg = self.server.cfg
        verdict = judge(seen, usage, cfg.timeout, cfg.graceful_timeout)
        if usage.strays and settings.current.kill_strays:
            try:
                groups[0].write("cgroup.kill", 1)
            except OSError as error:
                self.server.log.error("cgrun: what a worker has left cannot be killed: %s", error)
        self.left += groups
        self.sweep()
        self.held.append((seen, usage, verdict))
        # If the arbiter has got one, too, that is in its queue when it forks the next worker.
        if not self.maybe_with_all(seen, verdict):
            self.release()

    @staticmethod
    def maybe_with_all(seen: Seen, verdict: Verdict) -> bool:
        """Whoever stops a whole service may signal its processes all at once; and a worker may have
        ended before the arbiter handles its own signal."""
        told = seen.told in (*STOPS, signal.SIGHUP)
        return told and not seen.sent and verdict.cause not in ("timeout", "max_requests")

    def release(self, handled: str = "", purpose: str | None = None) -> None:
        held, self.held = self.held, []
        for seen, usage, verdict in held:
            together = (seen.told == signal.SIGHUP) == (handled == "hup")
            if purpose and together and self.maybe_with_all(seen, verdict):
                words = f"got {signal_name(seen.told)} together with gunicorn itself"
                verdict = Verdict(purpose, "likely", words, verdict.evidence)
                verdict.saw("signal to the arbiter, just after", f"SIG{handled.upper()}")
            self.tell(seen, usage, verdict)

    def tell(self, seen: Seen, usage: Usage, verdict: Verdict) -> None:
        log, current = self.server.log, settings.current
        name = current.name or self.server.cfg.proc_name
        log.log(telling.level(seen, verdict), "cgrun: %s", telling.line(seen, usage, verdict))
        try:
            if current.events is not None:
                event = telling.event(name, self.pid, seen, usage, verdict)
                telling.append(current.events, event)
        except OSError as error:
            log.error("cgrun: this end is not in events: %s", error)
        self.count(verdict.cause)

    def count(self, cause: str, number: int = 1) -> None:
        path, name = settings.current.metrics, settings.current.name or self.server.cfg.proc_name
        try:
            if path is not None:
                self.counts.add(path, name, cause, number)
        except (OSError, ValueError) as error:  # ValueError: somebody else's numbers in the file
            self.server.log.error("cgrun: metrics are not up to date: %s", error)

    def sweep(self) -> None:
        """Removes the groups of workers, unless processes are left: then cgrun does, at the end."""
        left, self.left = self.left, []
        self.left += [group for group in left if not group.remove()]


def unenforceable(error: Exception) -> RuntimeError:
    return RuntimeError(f"worker_memory_max={settings.current.memory_max_text}: {error}")
