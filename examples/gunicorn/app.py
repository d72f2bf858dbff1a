"""A service whose requests kill it: app:wsgi for gunicorn's own workers, app:asgi for uvicorn's."""

import os
import signal
import subprocess
import time


def hang():
    """Blocks the worker, the event loop of an asynchronous one included."""
    time.sleep(600)


def eat():
    """More memory than the example allows anywhere; nothing where nobody would stop it."""
    if "CGRUN_JOB_ID" in os.environ:
        hoard = [bytearray(os.urandom(1 << 20)) for _ in range(512)]
        return f"{len(hoard)} MiB"
    return "not outside of a job of cgrun's"


def crash():
    signal.pthread_kill(__import__("threading").get_ident(), signal.SIGSEGV)


def leave():
    os._exit(7)


def daemon():
    """Starts a process that outlives the worker."""
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    return str(child.pid)


def job():
    """Runs something in a job of its own, with a limit below the worker's."""
    done = subprocess.run([os.environ["CGRUN"], "--mem", "16M", "--", "true"], capture_output=True)
    return f"{done.returncode} {done.stderr.decode()}"


PAGES = {f"/{page.__name__}": page for page in (hang, eat, crash, leave, daemon, job)}


def answer(path):
    page = PAGES.get(path)
    return f"{os.getpid()} {(page() if page else None) or 'well'}\n".encode()


def wsgi(environ, start_response):
    body = answer(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    body = answer(scope["path"])
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"text/plain"),
                (b"content-length", str(len(body)).encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
