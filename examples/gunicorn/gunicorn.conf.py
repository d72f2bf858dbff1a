"""cgrun --mem 2G --pids 256 -- gunicorn app:wsgi"""

import os

from cgrun_gunicorn import *

configure(
    name=os.environ.get("SERVICE", "shop"),
    worker_memory_max=os.environ.get("WORKER_MEMORY_MAX"),  # such as 512M
    events=os.environ.get("EVENTS"),  # such as /var/log/shop/workers.jsonl
    metrics=os.environ.get("METRICS"),  # such as /var/lib/prometheus/node-exporter/shop.prom
    kill_strays="KILL_STRAYS" in os.environ,
)

workers = 2
timeout = 30
graceful_timeout = 30
