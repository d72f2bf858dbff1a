"""The hooks that many a gunicorn.conf.py has to tell SIGTERM from SIGABRT, for comparison.

They run in the worker, on a signal that the worker's class hands to gunicorn's handlers.
"""

import sys


def worker_int(worker):
    print(f"WORKER INTERRUPT SIGNAL RECEIVED - PID {worker.pid}", file=sys.stderr, flush=True)


def worker_abort(worker):
    print(f"CRITICAL: WORKER ABORTED - PID {worker.pid}", file=sys.stderr, flush=True)
