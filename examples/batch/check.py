"""Tries the batch runner: check.py BATCH"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

BATCH = sys.argv[1]
PATIENCE = 30 * float(os.environ.get("CGRUN_TEST_PATIENCE", "1"))
# In the environment of the runner, its guard and its jobs.
MARK = f"BATCH_CHECK={os.getpid()}.{time.monotonic_ns()}"
ENVIRONMENT = os.environ | dict([MARK.split("=")])


def eventually(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.02)


def marked(command=None):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment, open(f"/proc/{pid}/comm") as comm:
                if MARK.encode() in environment.read().split(b"\0") and comm.read().strip() == (command or comm):
                    found.append(int(pid))
        except OSError:
            pass  # gone
    return found


def batch(*arguments):
    result = subprocess.run([BATCH, *arguments], env=ENVIRONMENT, text=True, capture_output=True, timeout=PATIENCE * 4)
    eventually(f"nothing left: {marked()}", lambda: not marked())
    return result


def table(text):
    """Each file's status and cause."""
    rows = [re.split(r"  +", line) for line in text.splitlines()]
    assert rows[0] == ["FILE", "STATUS", "CAUSE", "TIME", "MEMORY PEAK"], rows[0]
    return {row[0]: tuple(row[1:3]) for row in rows[1:] if len(row) == 5}


def good_and_endless(place):
    """Twenty files to compress, and one of a terabyte, which takes too long."""
    inputs, outputs = f"{place}/inputs", f"{place}/outputs"
    os.mkdir(inputs), os.mkdir(outputs)
    for number in range(20):
        with open(f"{inputs}/{number:02}.txt", "w") as file:
            file.write(f"{number} " * 50_000)
    arguments = ["--jobs", "4", "--timeout", str(PATIENCE / 10), inputs, "--", "zstd", "-q", "-f", "{}", "-o", f"{outputs}/{{/}}.zst"]
    result = batch(*arguments)
    assert result.returncode == 0 and result.stderr == "", result
    assert result.stdout.endswith("20 done, 0 failed\n"), result.stdout
    assert set(table(result.stdout).values()) == {("exit 0", "normal")}
    assert len(os.listdir(outputs)) == 20

    with open(f"{inputs}/endless", "w") as file:
        file.truncate(1 << 40)
    result = batch(*arguments)
    assert result.returncode == 1, result
    outcomes = table(result.stdout)
    assert outcomes.pop("endless")[1] == "timeout_wall" and set(outcomes.values()) == {("exit 0", "normal")}
    assert result.stdout.endswith("20 done, 1 failed\n"), result.stdout
    print(result.stdout)


def bad_and_too_large(place):
    """Three good archives, one that is none, and one whose window does not fit into memory."""
    inputs = f"{place}/archives"
    os.mkdir(inputs)
    for number in range(3):
        subprocess.run(["zstd", "-q", "-o", f"{inputs}/{number}.zst"], input=b"x" * 100_000, check=True)
    with open(f"{inputs}/none.zst", "w") as file:
        file.write("not an archive")
    with open("/dev/zero", "rb") as zeros:
        with subprocess.Popen(["head", "-c", "300M"], stdin=zeros, stdout=subprocess.PIPE) as source:
            subprocess.run(["zstd", "-q", "--long=28", "-o", f"{inputs}/bomb.zst"], stdin=source.stdout, check=True)
    result = batch("--jobs", "2", "--mem", "64M", "--pids", "16", inputs, "--", "zstd", "-q", "-d", "--long=31", "-c", "{}")
    assert result.returncode == 1, result
    assert table(result.stdout) == {
        "0.zst": ("exit 0", "normal"), "1.zst": ("exit 0", "normal"), "2.zst": ("exit 0", "normal"),
        "bomb.zst": ("SIGKILL", "oom_own_limit"), "none.zst": ("exit 1", "nonzero_exit")}, result.stdout
    assert "unsupported format" in result.stdout, result.stdout
    print(result.stdout)


def commands_that_cannot_start(place):
    result = batch(f"{place}/inputs", "--", "no-such-command")
    assert result.returncode == 1 and "command not found" in result.stderr, result
    assert batch("--mem", "1X", place, "--", "true").returncode == 64
    assert batch(f"{place}/nowhere", "--", "true").returncode == 1


def stopped(place):
    """By a signal to the runner, with jobs that have children of their own."""
    for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)):
        runner = subprocess.Popen(
            [BATCH, "--jobs", "3", f"{place}/inputs", "--", "sh", "-c", "sleep 600 & exec sleep 600"],
            env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        eventually("three jobs run", lambda: len(marked("sleep")) == 6)
        runner.send_signal(number)
        output, errors = runner.communicate(timeout=PATIENCE)
        assert runner.returncode == expected, (runner.returncode, output, errors)
        eventually(f"nothing left: {marked()}", lambda: not marked())
        if number != signal.SIGKILL:
            causes = [cause for _, cause in table(output).values()]
            assert sorted(set(causes)) == ["cancelled", "not started"] and causes.count("cancelled") == 3, output


def on_a_terminal(place):
    """The bar is there; Ctrl-C reaches runner and jobs."""
    def begin(*command):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe(BATCH, [BATCH, "--jobs", "3", f"{place}/inputs", "--", *command], ENVIRONMENT)
        return pid, terminal

    def rest(pid, terminal):
        output = b""
        while select.select([terminal], [], [], PATIENCE)[0]:
            try:
                output += os.read(terminal, 65_536)
            except OSError:
                break  # hung up
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.decode()

    status, output = rest(*begin("true"))
    assert status == 0 and "[##############################] 21/21" in output, output
    pid, terminal = begin("sh", "-c", "sleep 600 & exec sleep 600")
    eventually("three jobs run", lambda: len(marked("sleep")) == 6)
    os.write(terminal, b"\3")
    status, output = rest(pid, terminal)
    assert status == 130 and "0 done, 21 failed" in output, (status, output)
    eventually(f"nothing left: {marked()}", lambda: not marked())


def main():
    failed = passed = 0
    with tempfile.TemporaryDirectory() as place:
        for check in (good_and_endless, bad_and_too_large, commands_that_cannot_start, stopped, on_a_terminal):
            start = time.monotonic()
            try:
                check(place)
                passed += 1
                print(f"ok    {check.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
            except Exception as error:
                failed += 1
                print(f"FAIL  {check.__name__}: {type(error).__name__}: {error}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
