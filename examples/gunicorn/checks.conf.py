"""gunicorn.conf.py, the seed's hooks beside it, and a hook for which there is another."""

import runpy

import cgrun_gunicorn
from seed_hooks import worker_abort, worker_int  # noqa: F401

globals().update(runpy.run_path("gunicorn.conf.py"))
timeout = 8
graceful_timeout = 20


def post_worker_init(worker):
    cgrun_gunicorn.post_worker_init(worker)
    worker.log.info("ready to serve")
