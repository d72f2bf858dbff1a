"""Makes the same calls to `subprocess` and to `cgrun_subprocess`, and compares what they do."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cgrun_subprocess

#: Takes either module, and the folder with the broken programs.
Call = Callable[[Any, Path], Any]


def _stop(module: Any, *signals: int) -> tuple[int, bytes]:
    """Starts a command that is at work, and sends it the signals."""
    with module.Popen("echo begun; exec sleep 60", shell=True, stdout=module.PIPE) as process:
        line = process.stdout.readline()
        assert process.poll() is None
        for number in signals:
            process.send_signal(number)
        return process.wait(timeout=10), line


def _ends_in_order(module: Any) -> tuple[int, bytes]:
    """Sends SIGTERM to a command that saves its work then."""
    script = "trap 'echo saved; exit 3' TERM; echo begun; while :; do sleep 0.02; done"
    with module.Popen(script, shell=True, stdout=module.PIPE) as process:
        process.stdout.readline()
        process.terminate()
        rest = process.stdout.read()
        return process.wait(timeout=10), rest


def _passed_on(module: Any, options: Callable[[int], dict[str, Any]]) -> bytes:
    """Writes to a pipe that the command inherits."""
    reader, writer = os.pipe()
    try:
        os.set_inheritable(writer, True)
        module.run(f"echo through >&{writer}", shell=True, check=True, **options(writer))
        os.set_blocking(reader, False)
        return os.read(reader, 100)
    finally:
        os.close(reader)
        os.close(writer)


def _lines(module: Any) -> list[str]:
    """Talks to a command line by line."""
    pipes = {"stdin": module.PIPE, "stdout": module.PIPE, "text": True, "bufsize": 1}
    with module.Popen(["cat"], **pipes) as process:
        answers = []
        for word in ("one", "two"):
            process.stdin.write(word + "\n")
            answers.append(process.stdout.readline())
        process.stdin.close()
        return answers + [process.wait()]


CALLS: dict[str, Call] = {
    "output": lambda m, _: m.run(["echo", "a b"], capture_output=True, text=True),
    "both streams": lambda m, _: m.run("echo a; echo b >&2", shell=True, capture_output=True),
    "stderr to stdout": lambda m, _: m.run(
        "echo a; echo b >&2", shell=True, stdout=m.PIPE, stderr=m.STDOUT),
    "input": lambda m, _: m.run(["cat"], input=b"\x00\xff\n", stdout=m.PIPE),
    "large output": lambda m, _: len(m.check_output(["head", "-c", "3000000", "/dev/zero"])),
    "lines": lambda m, _: _lines(m),
    "exit statuses": lambda m, _: [
        m.call(["sh", "-c", f"exit {code}"]) for code in (0, 1, 2, 124, 125, 126, 127, 137, 255)],
    "deaths by signal": lambda m, _: [
        m.call(["sh", "-c", f"kill -{number} $$"])
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGUSR1)],
    "terminate": lambda m, _: _stop(m, signal.SIGTERM),
    "terminate, in order": lambda m, _: _ends_in_order(m),
    "interrupt": lambda m, _: _stop(m, signal.SIGINT),
    "kill": lambda m, _: _stop(m, signal.SIGKILL),
    "bytes and paths": lambda m, _: m.run([Path("/bin/echo"), b"\xff"], stdout=m.PIPE).stdout,
    "shell with arguments": lambda m, _: m.run(
        ['echo "$0" "$1"', "a", "b c"], shell=True, stdout=m.PIPE).stdout,
    "another shell": lambda m, _: m.run(
        "echo ${BASH_VERSION:+bash}", shell=True, executable="/bin/bash", stdout=m.PIPE).stdout,
    "directory": lambda m, folder: m.check_output(["pwd"], cwd=folder),
    "relative to directory": lambda m, folder: m.check_output(["./works"], cwd=folder),
    "environment": lambda m, _: m.check_output(
        ["sh", "-c", "echo $A $HOME"], env={"A": "1", "PATH": os.environ["PATH"]}),
    "$PATH of the environment": lambda m, folder: m.check_output(
        ["works"], env={"PATH": str(folder)}),
    "descriptors": lambda m, _: m.check_output(["ls", "/proc/self/fd"]),
    "pass_fds": lambda m, _: _passed_on(m, lambda fd: {"pass_fds": [fd]}),
    "close_fds=False": lambda m, _: _passed_on(m, lambda fd: {"close_fds": False}),
    "user": lambda m, _: m.check_output(["id", "-u"], user="nobody", group="nogroup")
            if os.geteuid() == 0 else None,
    "check": lambda m, _: m.run("echo a; exit 3", shell=True, check=True, stdout=m.PIPE),
    "check_call": lambda m, _: m.check_call("kill -9 $$", shell=True),
    "check_output without input": lambda m, _: m.check_output(["cat"], input=None, text=True),
    "timeout": lambda m, _: m.run(["sleep", "60"], timeout=0.2),
    "timeout with output": lambda m, _: m.run(
        "echo begun; exec sleep 60", shell=True, timeout=0.2, capture_output=True),
    "missing command": lambda m, _: m.run(["no-such-command"]),
    "missing path": lambda m, folder: m.Popen([folder / "no-such-command"]),
    "missing directory": lambda m, folder: m.run(["true"], cwd=folder / "no-such-folder"),
    "not executable": lambda m, folder: m.run([folder / "text"]),
    "a directory": lambda m, folder: m.run([folder]),
    "missing interpreter": lambda m, folder: m.run([folder / "orphaned"]),
    "zero byte": lambda m, _: m.run(["echo", "a\0b"]),
    "unknown keyword": lambda m, _: m.run(["true"], no_such_keyword=1),
    "conflicting streams": lambda m, _: m.run(["true"], capture_output=True, stdout=m.PIPE),
}


def describe(value: Any) -> Any:
    """What can be compared of a result or an exception."""
    if isinstance(value, subprocess.CompletedProcess):
        value = (value.args, value.returncode, value.stdout, value.stderr)
    elif isinstance(value, Exception):
        names = ("errno", "filename", "returncode", "cmd", "output", "stderr")
        value = (type(value).__name__, *(getattr(value, name, None) for name in names))
    return str(value)


def outcome(call: Call, module: Any, folder: Path) -> str:
    """The call's result or exception."""
    try:
        return describe(call(module, folder))
    except Exception as error:
        return describe(error)


def compare() -> tuple[int, list[str]]:
    """Returns the number of calls, and a line for each one that differs."""
    differences = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for program, text, mode in (
                ("works", "#!/bin/sh\necho works\n", 0o755), ("text", "no program\n", 0o644),
                ("orphaned", "#!/no/such/interpreter\n", 0o755)):
            (folder / program).write_text(text)
            (folder / program).chmod(mode)
        for label, call in CALLS.items():
            plain = outcome(call, subprocess, folder)
            contained = outcome(call, cgrun_subprocess, folder)
            if plain != contained:
                differences.append(f"{label}: {plain} became {contained}")
    return len(CALLS), differences
