"""`subprocess`, with every command in a cgrun sandbox of its own.

    import cgrun_subprocess as subprocess

    subprocess.run(["mubeng", "--check"], timeout=120, mem="256M", pids=64)

Signatures, results and exceptions are those of `subprocess`; the keyword-only additions are in
`Limits`. What changes is what is left afterwards, which is nothing: when `run` returns or raises,
when the command ends, and when this process dies (SIGKILL included), the whole process tree is
gone. It is the death of the process that called `Popen` which counts; threads may come and go.

`Popen.report`, `CompletedProcess.report` and `CalledProcessError.report` say what became of the
job (cgrun's JSON report, see the README of cgrun), or are None if there is none.

The program is $CGRUN, or `cgrun` in $PATH. If it is missing, nothing runs: an unlimited command in
place of a limited one would be a surprise.

Differences that remain:

- `Popen.pid` and `Popen.send_signal` mean cgrun, which forwards signals to the command; `kill`
  ends the whole tree.
- An error that only exec(2) can find (a script's interpreter is missing, say) is raised by `wait`
  or `communicate` rather than by `Popen()`.
- A file without a known format is run by sh, as by execvp(3).
- `executable=` without `shell=True` also becomes the command's argv[0].
"""

from __future__ import annotations

import errno
import inspect
import io
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from subprocess import DEVNULL, PIPE, STDOUT, SubprocessError, TimeoutExpired
from typing import Any, TypedDict

__all__ = [
    "DEVNULL", "PIPE", "STDOUT", "CalledProcessError", "CgrunError", "CompletedProcess", "Limits",
    "Popen", "SubprocessError", "TimeoutExpired", "call", "check_call", "check_output", "run",
]

Report = dict[str, Any]


class Limits(TypedDict, total=False):
    """The keywords that `subprocess` does not have. Sizes are bytes, or text such as "1.5G"."""

    mem: int | str
    mem_high: int | str
    swap: int | str
    pids: int
    cpu: float
    #: Seconds; the job is stopped by cgrun (SIGTERM, `kill_after` seconds, then all of it), and
    #: `returncode` is 124. `timeout=` of `run` is as abrupt as that of `subprocess`.
    timeout_wall: float
    timeout_cpu: float
    kill_after: float
    #: Further options of cgrun, such as ["--fail-on-oom"].
    cgrun_options: Sequence[str]


class CgrunError(SubprocessError):
    """The sandbox could not be had, so the command was not started."""


class CompletedProcess(subprocess.CompletedProcess):
    """A finished command, with cgrun's report."""

    report: Report | None = None


class CalledProcessError(subprocess.CalledProcessError):
    """A failed command; the message says why it died, as far as cgrun knows."""

    report: Report | None = None

    def __str__(self) -> str:
        cause = (self.report or {}).get("cause")
        return super().__str__() + (f" ({cause})" if cause else "")


_OPTIONS = {
    "mem": "--mem", "mem_high": "--mem-high", "swap": "--swap", "pids": "--pids", "cpu": "--cpu",
    "timeout_wall": "--timeout", "timeout_cpu": "--cpu-time", "kill_after": "--kill-after",
}
_SECONDS = {"timeout_wall", "timeout_cpu", "kill_after"}
_POPEN = inspect.signature(subprocess.Popen)

def _cgrun(limits: Mapping[str, Any]) -> list[str]:
    """The command line of cgrun up to the report. Quiet: stderr is the command's alone."""
    program = shutil.which(os.environ.get("CGRUN") or "cgrun")
    if program is None:
        raise CgrunError("cgrun is not in $PATH, and $CGRUN does not name it")
    command = [os.path.abspath(program), "--quiet"]
    for name, value in limits.items():
        if name == "cgrun_options":
            command += value
        elif name not in _OPTIONS:
            raise TypeError(f"unexpected keyword argument {name!r}")
        elif value is not None:
            command += [_OPTIONS[name], f"{value:.3f}s" if name in _SECONDS else str(value)]
    return command


def _check_command(command: Any, cwd: Any, env: Mapping[str, str] | None) -> None:
    """Raises what `subprocess.Popen` would, while it is still the caller's constructor."""
    name = os.fsdecode(command)
    folders = [""] if os.path.dirname(name) else os.get_exec_path(env)
    paths = [os.path.join(os.fsdecode(cwd or ""), folder, name) for folder in folders]
    if not any(os.path.isfile(path) and os.access(path, os.X_OK) for path in paths):
        code = errno.EACCES if any(os.path.exists(path) for path in paths) else errno.ENOENT
        raise OSError(code, os.strerror(code), command)


def _collect(pipe: io.FileIO, text: bytearray) -> None:
    """Reads up to the end of file."""
    with pipe:
        while part := pipe.read(1 << 16):
            text += part


class Popen(subprocess.Popen):
    """`subprocess.Popen` for a command in its own cgroup. `kill()` ends the whole tree."""

    report: Report | None = None

    def __init__(self, *positional: Any, **keywords: Any) -> None:
        limits = {k: v for k, v in keywords.items() if k not in _POPEN.parameters}
        given = _POPEN.bind(*positional, **{k: v for k, v in keywords.items() if k not in limits})
        given.apply_defaults()
        options = given.arguments
        original = options["args"]
        single = isinstance(original, (str, bytes, os.PathLike))
        command = [original] if single else list(original)
        shell, options["shell"] = options["shell"], False
        if shell:
            command = [options["executable"] or "/bin/sh", "-c", *command]
        elif options["executable"] is not None:
            command[0] = options["executable"]
        options["executable"] = None
        prefix = _cgrun(limits)
        for name, option in (("user", "--uid"), ("group", "--gid")):
            # Changed by cgrun after it made the cgroup, which only the caller may be allowed to.
            if options.get(name) is not None:
                prefix += [option, str(options[name])]
                options[name] = None
        self._command = command[0]
        _check_command(self._command, options["cwd"], options["env"])

        # Whoever ends the job closes the report last: cgrun, or its guard after cgrun's death. So
        # its end of file tells more than the end of cgrun does: no process is left. A thread,
        # because cgrun must not wait for its reader while the caller reads the command's output.
        reader, writer = os.pipe()
        self._report_text = bytearray()
        pipe = io.FileIO(reader)
        self._report_reader = threading.Thread(
            target=_collect, args=(pipe, self._report_text), name="cgrun-report", daemon=True)
        try:
            self._report_reader.start()
            if options["close_fds"] or options["pass_fds"]:
                options["pass_fds"] = (*options["pass_fds"], writer)
            else:
                os.set_inheritable(writer, True)
            options["args"] = [*prefix, "--report-fd", str(writer), "--", *command]
            super().__init__(*given.args, **given.kwargs)
        finally:
            os.close(writer)
        self.args = original

    def wait(self, timeout: float | None = None) -> int:
        """Returns once the whole tree is gone, also after `kill()`."""
        if self.returncode is None:
            deadline = None if timeout is None else time.monotonic() + timeout
            self._report_reader.join(timeout)
            if self._report_reader.is_alive():
                raise TimeoutExpired(self.args, timeout)  # type: ignore[arg-type]
            super().wait(None if deadline is None else max(deadline - time.monotonic(), 0))
            self._conclude()
        return self.returncode

    def poll(self) -> int | None:
        """None as long as anything of the tree is left."""
        ended = self.returncode is None and not self._report_reader.is_alive()
        if ended and super().poll() is not None:
            self._conclude()
        return self.returncode

    def _conclude(self) -> None:
        """Turns cgrun's exit status into what `subprocess` says about the command itself."""
        try:
            self.report = json.loads(self._report_text)
        except ValueError:
            if self.returncode == 125:
                raise CgrunError("cgrun failed; it says why on stderr") from None
            return  # Ended before it began, or cgrun and its guard were killed together.
        cause, number = self.report.get("cause"), (self.report.get("signal") or {}).get("number")
        reason = self.report.get("error") or "no reason given"
        if cause == "setup_error":
            raise CgrunError(reason)
        if cause == "exec_error":
            code = next((c for c in errno.errorcode if os.strerror(c) in reason), errno.EACCES)
            if self.returncode == 127 or "interpreter" in reason:
                code = errno.ENOENT  # What exec(2) says of a script whose interpreter is missing.
            raise OSError(code, os.strerror(code), self._command)
        if number and self.returncode == 128 + number:
            self.returncode = -number


def run(*args: Any, input: Any = None, capture_output: bool = False, timeout: float | None = None,
        check: bool = False, **keywords: Any) -> CompletedProcess:
    """`subprocess.run`. On any exception, TimeoutExpired included, the tree is gone before it."""
    if input is not None:
        if keywords.get("stdin") is not None:
            raise ValueError("stdin and input arguments may not both be used.")
        keywords["stdin"] = PIPE
    if capture_output:
        if keywords.get("stdout") is not None or keywords.get("stderr") is not None:
            raise ValueError("stdout and stderr arguments may not be used with capture_output.")
        keywords["stdout"] = keywords["stderr"] = PIPE
    with Popen(*args, **keywords) as process:
        try:
            stdout, stderr = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if check and process.returncode:
        error = CalledProcessError(process.returncode, process.args, stdout, stderr)
        error.report = process.report
        raise error
    done = CompletedProcess(process.args, process.returncode, stdout, stderr)
    done.report = process.report
    return done


def call(*args: Any, timeout: float | None = None, **keywords: Any) -> int:
    """`subprocess.call`."""
    return run(*args, timeout=timeout, **keywords).returncode


def check_call(*args: Any, **keywords: Any) -> int:
    """`subprocess.check_call`."""
    return run(*args, check=True, **keywords).returncode


def check_output(*args: Any, timeout: float | None = None, **keywords: Any) -> Any:
    """`subprocess.check_output`."""
    if "stdout" in keywords or "check" in keywords:
        raise ValueError("stdout and check arguments not allowed, they will be overridden.")
    if "input" in keywords and keywords["input"] is None:
        text = any(map(keywords.get, ("text", "universal_newlines", "encoding", "errors")))
        keywords["input"] = "" if text else b""
    return run(*args, stdout=PIPE, timeout=timeout, check=True, **keywords).stdout
