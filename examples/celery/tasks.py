"""A Celery app that checks proxies, the way such apps run their tools.

    check_proxy_chunk   celery worker → pool child → script → sh → mubeng
    scrape              celery worker → pool child → psc

CGRUN_STRESS=bare in the environment, as `cgrun stress` has it, selects plain `subprocess`; anything
else the sandbox. That import and the limits are the only difference between the two.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path
from typing import Any, TypedDict

from celery import Celery

CONTAINED = os.environ.get("CGRUN_STRESS") != "bare"
if CONTAINED:
    import cgrun_subprocess as subprocess

    LIMITS: dict[str, Any] = {"mem": "256M", "pids": 64, "cpu": 1.5}
else:
    import subprocess  # type: ignore[no-redef]

    LIMITS = {}

TOOLS = Path(__file__).resolve().parent / "tools"
#: In the environment and in the arguments of everything that a task starts.
MARK_VARIABLE = "CELERY_EXAMPLE_MARK"

app = Celery("proxies", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    task_acks_late=True,  # A message is done when its task is, not when it was read, …
    task_reject_on_worker_lost=True,  # … and goes back to the queue if the pool child dies.
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)


class Probe(TypedDict, total=False):
    """What the scenarios ask of the tools; the app itself would have none of it."""

    mark: str
    gate: str
    started: str
    listen: int
    stray: bool
    timeout: float


class Outcome(TypedDict):
    """A task's result."""

    proxies: list[str]
    #: The name of the command's cgroup, to look for it afterwards; None without a sandbox.
    cgroup: str | None


def _cgroup(done: Any) -> str | None:
    report = getattr(done, "report", None)
    return report and f"cgrun-{report['job_id']}"


@app.task
def check_proxy_chunk(chunk: list[str], probe: Probe) -> Outcome:
    """Returns those proxies of the chunk that are alive."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "proxies"), Path(folder, "alive")
        source.write_text("\n".join(chunk))
        mubeng = [str(TOOLS / "mubeng"), "-f", str(source), "-o", str(target)]
        mubeng += ["--mark", probe["mark"]]
        for name in ("gate", "started", "listen"):
            if name in probe:
                mubeng += [f"--{name}", str(probe[name])]
        if probe.get("stray"):
            mubeng.append("--stray")
        # mubeng hangs without a terminal; script gives it one.
        chain = f"sh -c {shlex.quote(shlex.join(mubeng) + '; true')}"
        done = subprocess.run(
            ["script", "-q", "/dev/null", "-c", chain],
            capture_output=True, text=True, timeout=probe.get("timeout", 120), check=False,
            env={**os.environ, MARK_VARIABLE: probe["mark"]}, **LIMITS)
        if not target.exists():
            raise RuntimeError(done.stdout.strip() or f"no result, status {done.returncode}")
        return {"proxies": target.read_text().split(), "cgroup": _cgroup(done)}


@app.task
def scrape(probe: Probe) -> Outcome:
    """Returns new proxies."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "found")
        done = subprocess.run(
            [str(TOOLS / "psc"), str(target), probe["mark"]],
            cwd=folder, check=True, capture_output=True, text=True, timeout=300,
            env={**os.environ, MARK_VARIABLE: probe["mark"]}, **LIMITS)
        return {"proxies": target.read_text().split(), "cgroup": _cgroup(done)}
