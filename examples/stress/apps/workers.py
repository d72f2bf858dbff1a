"""uvicorn's worker for gunicorn, with a bound for what a stop waits for."""

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker


class Worker(UvicornWorker):
    """Told to stop on its own, UvicornWorker would wait for its requests as long as they take."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **UvicornWorker.CONFIG_KWARGS, "timeout_graceful_shutdown": 1}
