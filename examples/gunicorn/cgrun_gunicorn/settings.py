"""What gunicorn.conf.py has asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    name: str | None = None
    memory_max: int | None = None
    memory_max_text: str = ""
    events: str | int | None = None
    metrics: str | None = None
    kill_strays: bool = False


current = Settings()


def configure(
    name: str | None = None,
    worker_memory_max: str | int | None = None,
    events: str | int | None = None,
    metrics: str | None = None,
    kill_strays: bool = False,
) -> None:
    """Says what is wanted. With SIGHUP gunicorn reads its configuration, and this call, anew.

    name: the label of the metrics (default: gunicorn's proc_name)
    worker_memory_max: the limit of each worker, without swap, such as "512M"
    events: a file, or an open descriptor, that gets a line of JSON for each end
    metrics: a file for node_exporter's textfile collector
    kill_strays: kill what a worker has started and left when it ended
    """
    global current
    if metrics is not None and not metrics.endswith(".prom"):
        raise ValueError(
            f"metrics={metrics!r}: the textfile collector wants a name ending in .prom"
        )
    limit = None if worker_memory_max is None else _size(worker_memory_max)
    current = Settings(name, limit, str(worker_memory_max), events, metrics, kill_strays)


def _size(text: str | int) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", str(text))
    size = int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " ")) if match else 0
    if size < 1 << 20:
        raise ValueError(
            f"worker_memory_max={text!r}: expected 1M or more, as bytes or with K, M, G or T"
        )
    return size
