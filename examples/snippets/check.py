"""Tries the service: check.py SERVER"""

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

SERVER = sys.argv[1]
# In the environment of what snippets start, and of the server with its guard.
MARK = f"SNIPPETS_CHECK={os.getpid()}"
PATIENCE = 30 * float(os.environ.get("CGRUN_TEST_PATIENCE", "1"))
JOBS, WAITING = 4, 32


def eventually(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.02)


def marked(mark):
    """The processes that have the mark in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment:
                if mark.encode() in environment.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:
            pass  # gone
    return found


def cgroups():
    """Jobs' directories below the cgroups of this process, which the server shares."""
    found = set()
    for line in open("/proc/self/cgroup"):
        _, controllers, path = line.rstrip("\n").split(":", 2)
        for base in ([f"/sys/fs/cgroup/{controllers}"] if controllers else ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]):
            directory = base + path
            if os.path.isdir(directory):
                found |= {f"{directory}/{name}" for name in os.listdir(directory)
                          if re.fullmatch("cgrun-[0-9a-f]{16}", name)}
    return found


class Service:
    def __init__(self):
        self.mark = f"{MARK}.{time.monotonic_ns()}"
        self.before = cgroups()
        name, value = self.mark.split("=")
        self.process = subprocess.Popen(
            [SERVER, "--port", "0", "--jobs", str(JOBS), "--waiting", str(WAITING)], text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | {name: value})
        for line in self.process.stderr:
            if found := re.search(r"listening on 127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
            print(line, end="")
        else:
            raise AssertionError(f"the service exited with {self.process.wait()}")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def post(self, text, **query):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("POST", "/run?" + urllib.parse.urlencode(query), text)
            response = connection.getresponse()
            body = response.read()
            return response.status, json.loads(body) if response.status == 200 else body.decode()
        finally:
            connection.close()

    def answer(self, text, **query):
        status, answer = self.post(text, **query)
        assert status == 200, (status, answer)
        return answer

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def nothing_is_left(self):
        eventually(f"nothing left: {marked(self.mark)}, {cgroups() - self.before}",
                   lambda: not marked(self.mark) and not cgroups() - self.before)

    def end(self):
        self.process.terminate()
        code = self.process.wait(PATIENCE)
        self.nothing_is_left()
        return code

    # Snippets. What they start carries the mark.

    def sleeper(self):
        return f"export {self.mark}; sleep 600 & exec sleep 600"

    def hog(self):
        return f"import os\nos.execve('/usr/bin/python3', ['python3', '-c', 'b = bytearray(1 << 30)'], {self.environment()})"

    def bomb(self):
        """Forks for as long as it lives; only for where a limit was seen to hold."""
        text = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"
        return f"import os\nos.execve('/usr/bin/python3', ['python3', '-c', {text!r}], {self.environment()})"

    def endless(self):
        return f"export {self.mark}; exec yes"

    def environment(self):
        return dict([self.mark.split("=")])


def answers(service):
    answer = service.answer("print(6 * 7)")
    assert (answer["output"], answer["cause"], answer["exitCode"]) == ("42\n", "normal", 0), answer
    answer = service.answer("echo out; echo bad >&2; exit 3", interpreter="sh")
    assert (answer["output"], answer["error"], answer["exitCode"]) == ("out\n", "bad\n", 3), answer
    assert answer["cause"] == "nonzero_exit", answer
    answer = service.answer("import os; print(os.getuid(), dict(os.environ))")
    assert answer["output"].startswith("65534 " if os.geteuid() == 0 else str(os.geteuid())), answer
    assert "SNIPPETS_CHECK" not in answer["output"], "the server's environment is its own"


def bad_requests(service):
    for query in ({"interpreter": "perl"}, {"memory": 1 << 40}, {"processes": 0}, {"processes": 65},
                  {"seconds": 11}, {"seconds": "x"}):
        status, text = service.post("pass", **query)
        assert status == 400 and next(iter(query)) in text, (query, status, text)
    assert service.post("#" * 70_000)[0] == 413


def limits(service):
    answer = service.answer(service.hog(), memory=32 << 20)
    assert (answer["cause"], answer["memoryMaxBytes"]) == ("oom_own_limit", 32 << 20), answer
    answer = service.answer(service.sleeper(), interpreter="sh", seconds=1)
    assert answer["cause"] == "timeout_wall" and answer["signal"] == "SIGTERM", answer
    answer = service.answer(service.endless(), interpreter="sh", seconds=1)
    assert answer["cause"] == "timeout_wall" and answer["isTruncated"], answer["cause"]
    assert len(answer["output"]) == 64 << 10


def limit_of_processes(service):
    answer = service.answer("for i in $(seq 40); do sleep 2 & done; wait", interpreter="sh", processes=16)
    assert (answer["cause"], answer["processesMax"]) == ("pids_limit", 16), answer
    # It holds: no other snippet forks like this.
    answer = service.answer(service.bomb(), processes=16, memory=256 << 20, seconds=1)
    assert answer["cause"] in ("timeout_wall", "pids_limit"), answer
    assert set(marked(service.mark)) <= own(service), "nothing is left once it answers"


def own(service):
    """The server and its guard."""
    return {service.process.pid} | {pid for pid in marked(service.mark) if is_guard(pid)}


def is_guard(pid):
    try:
        return open(f"/proc/{pid}/comm").read().strip() == "cgrun-guard"
    except OSError:
        return True  # gone


def load(service):
    service.answer("pass")
    before = service.descriptors()
    kinds = {
        "good": ("print('x' * 1000)", {}, {"normal"}),
        "bad": ("exit 1", {"interpreter": "sh"}, {"nonzero_exit"}),
        "sleeper": (service.sleeper(), {"interpreter": "sh", "seconds": 1}, {"timeout_wall"}),
        "hog": (service.hog(), {"memory": 32 << 20}, {"oom_own_limit"}),
        "endless": (service.endless(), {"interpreter": "sh", "seconds": 1}, {"timeout_wall"}),
        "bomb": (service.bomb(), {"processes": 16, "memory": 256 << 20, "seconds": 1}, {"timeout_wall", "pids_limit"}),
    }
    shares = {"good": 220, "bad": 100, "sleeper": 10, "hog": 20, "endless": 5, "bomb": 5}
    requests = [kind for kind, count in shares.items() for _ in range(count)]
    # Mixed, the same way each time.
    random.Random(1).shuffle(requests)

    def one(kind):
        text, query, causes = kinds[kind]
        answer = service.answer(text, **query)
        return kind, answer["cause"] in causes or answer

    # Not more at once than run and wait, so that each is served.
    with ThreadPoolExecutor(JOBS + WAITING - 4) as pool:
        results = list(pool.map(one, requests))
    wrong = [result for result in results if result[1] is not True]
    assert not wrong, wrong[:3]
    assert Counter(kind for kind, _ in results) == shares
    eventually("only the server and its guard", lambda: set(marked(service.mark)) <= own(service))
    eventually("no cgroup", lambda: cgroups() <= service.before)
    eventually(f"{before} descriptors: {service.descriptors()}", lambda: service.descriptors() <= before)
    assert service.threads() <= 3 * os.cpu_count() + 4, service.threads()


def more_than_fit(service):
    def one(_):
        return service.post(service.sleeper(), interpreter="sh", seconds=1)[0]

    with ThreadPoolExecutor(JOBS + WAITING + 40) as pool:
        # The first few block the places, and nobody waits for long.
        statuses = Counter(pool.map(one, range(JOBS + WAITING + 40)))
    assert set(statuses) == {200, 503} and statuses[503] >= 20, statuses


def client_that_hangs_up(service):
    text = service.sleeper().encode()
    client = socket.create_connection(("127.0.0.1", service.port))
    client.sendall(b"POST /run?interpreter=sh&seconds=10 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
    eventually("the snippet runs", lambda: len(set(marked(service.mark)) - own(service)) == 2)
    start = time.monotonic()
    client.close()
    eventually("it was stopped", lambda: not set(marked(service.mark)) - own(service))
    # Its own time limit is 10 s; on a slow machine this shows nothing, and fails nothing.
    assert time.monotonic() - start < 8 or PATIENCE > 30


def shut_down(service):
    with ThreadPoolExecutor(JOBS) as pool:
        posts = [pool.submit(service.post, service.sleeper(), interpreter="sh", seconds=10) for _ in range(JOBS)]
        eventually("all run", lambda: len(set(marked(service.mark)) - own(service)) == 2 * JOBS)
        code = service.end()
        assert code == 0, code
        causes = {(status, answer if status != 200 else answer["cause"]) for status, answer in map(lambda post: post.result(), posts)}
        assert causes == {(200, "cancelled")}, causes


def killed(service):
    def one(_):
        try:
            service.post(service.sleeper(), interpreter="sh", seconds=10)
        except OSError:
            pass
        except http.client.HTTPException:
            pass

    with ThreadPoolExecutor(JOBS + 20) as pool:
        for number in range(JOBS + 20):
            pool.submit(one, number)
        eventually("some run", lambda: len(set(marked(service.mark)) - own(service)) == 2 * JOBS)
        service.process.kill()
        service.process.wait()
        service.nothing_is_left()


def main():
    failed = passed = 0
    shared = Service()
    for check in (answers, bad_requests, limits, limit_of_processes, load, more_than_fit, client_that_hangs_up,
                  shut_down, killed):
        service = shared if check not in (shut_down, killed) else Service()
        start = time.monotonic()
        try:
            check(service)
            passed += 1
            print(f"ok    {check.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAIL  {check.__name__}: {type(error).__name__}: {error}", flush=True)
            if check is limit_of_processes:
                break  # no fork bombs where the limit does not hold
        finally:
            if service is not shared and service.process.poll() is None:
                service.process.send_signal(signal.SIGKILL)
                service.process.wait()
    shared.end()
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
