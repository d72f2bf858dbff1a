"""A web application (ASGI, no framework) that runs a tool for a request, the way many do.

    GET /        answers at once
    GET /scrape  worker → psc, which has a child, and a daemon of its own
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

# The only difference between the two sides; `cgrun stress` sets the variable.
if os.environ.get("CGRUN_STRESS") == "bare":
    import subprocess
else:
    import cgrun_subprocess as subprocess  # type: ignore[no-redef]

PSC = Path(__file__).resolve().parents[2] / "celery" / "tools" / "psc"


def scrape() -> str:
    """Runs psc, which does not end as long as the root directory is there."""
    done = subprocess.run(
        [PSC, "/dev/stdout", "stress", "/"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers a request."""
    if scope["type"] != "http":
        return
    text = await asyncio.to_thread(scrape) if scope["path"] == "/scrape" else "hello\n"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
