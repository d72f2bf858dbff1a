"""Why gunicorn's workers end, and a cgroup for each. Put this directory beside gunicorn.conf.py:

    from cgrun_gunicorn import *

    configure(name="shop", worker_memory_max="512M", metrics="/srv/text/shop.prom")

The first line brings gunicorn's hooks of __all__. Where you have such a hook, call both. Start:

    cgrun --mem 2G --pids 256 --kill-mode mixed -- gunicorn app:app

Each worker gets a cgroup below the job's: its own peak, its own count of OOM kills, and its own
limit where you want one. Not started by cgrun, gunicorn says so and serves without, and causes come
from what the arbiter says and does; but a limit that cannot be enforced is an error.

Python 3.9 and gunicorn 21, or later; Linux. No other packages.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from typing import Any, Callable

import gunicorn
from gunicorn.errors import HaltServer

from . import settings
from .cgroups import job_groups, make, settle
from .settings import configure
from .verdict import STOPS, Note
from .watch import Watch, unenforceable

__all__ = [
    "configure",
    "on_starting",
    "pre_fork",
    "post_fork",
    "post_worker_init",
    "child_exit",
    "on_exit",
]


def on_starting(server: Any) -> None:
    """In the arbiter, before it listens. gunicorn shows a RuntimeError in one line, and ends."""
    watch = server.cgrun = Watch(server)
    limit = settings.current.memory_max
    if gunicorn.version_info < (21,):
        server.log.warning("cgrun: this gunicorn does not log how workers exit; 21 and later do")
    try:
        groups = job_groups()
        settle(groups)
        if limit is not None:
            trial = [group.child(f"trial-{os.getpid()}") for group in groups]
            watch.left += trial
            make(trial, limit)
        watch.groups = groups
    except (LookupError, OSError) as error:
        if limit is not None:
            raise unenforceable(error) from None
        server.log.warning("cgrun: workers get no cgroups of their own: %s", error)
    finally:
        watch.sweep()
    watch.count("unknown", 0)  # the file is there from the start


def pre_fork(server: Any, worker: Any) -> None:
    server.cgrun.forks(worker)


def post_fork(server: Any, worker: Any) -> None:
    """In the worker. An exception ends gunicorn: no worker serves without the limit asked for."""
    server.cgrun.forked(worker)
    logging.getLogger("uvicorn.error").addFilter(_UvicornsWords(worker.cgrun.note))


class _UvicornsWords(logging.Filter):
    """Tells the arbiter why a worker of uvicorn has stopped by itself."""

    def __init__(self, note: Note) -> None:
        super().__init__()
        self.note = note

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith("Maximum request limit of"):
            self.note.write(Note.MAX_REQUESTS)
        return True


def post_worker_init(worker: Any) -> None:
    """In the worker, with the application loaded.

    gunicorn's workers exit with 0 after a signal, so they note which it was. Those of uvicorn
    handle signals their own way, and die of them in the end.
    """
    note = worker.cgrun.note
    note.write(Note.BOOTED)

    def noting(handler: Callable[[int, Any], Any]) -> Callable[[int, Any], Any]:
        def noted(number: int, frame: Any) -> Any:
            note.write(Note.TOLD, number)
            return handler(number, frame)

        return noted

    for number in STOPS:
        handler = signal.getsignal(number)
        if callable(handler):
            signal.signal(number, noting(handler))
    # As gunicorn has it, and signal.signal() undoes it: SIGTERM disturbs no request.
    signal.siginterrupt(signal.SIGTERM, False)


def child_exit(server: Any, worker: Any) -> None:
    try:
        server.cgrun.ended(worker)
    except Exception as error:  # what fails here must not harm the service
        server.log.error("cgrun: why worker %s has ended is not known: %r", worker.pid, error)


def on_exit(server: Any) -> None:
    """gunicorn kills workers that outlast graceful_timeout, and leaves without looking for them."""
    patience = time.monotonic() + 1
    while server.WORKERS and time.monotonic() < patience:
        with contextlib.suppress(HaltServer):
            server.reap_workers()
        time.sleep(0.01)
    server.cgrun.release()
    server.cgrun.sweep()
