"""The ways in which workers end, one function each."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from service import Service, eventually

ROWS = []  # of the table that a run prints


def cause(events, *expected):
    assert [(event["cause"], event["confidence"]) for event in events] == list(expected), events


def leaf(pid):
    """The names of its cgroups: of version 2, and of version 1's memory controller if any."""
    groups = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    return {
        path.rpartition("/")[2] for _, controllers, path in groups if controllers in ("", "memory")
    }


def is_zombie(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")


def told(service, offset, what, event):
    """A row of the table: what gunicorn's log and the seed's hooks made of it."""
    text = service.log()[offset:]
    pid = event["pid"]
    lines = re.findall(rf"\[(\w+)\] ((?:WORKER TIMEOUT|Worker) \(pid:{pid}\).*)", text)
    words = "; ".join(
        f"{level} `{line.replace(str(pid), 'N')}`" for level, line in dict.fromkeys(lines)
    )
    hooks = re.findall(rf"(?:INTERRUPT|ABORTED).* {pid}", text)
    # The seed's hooks run in gunicorn's own workers only, and neither for SIGTERM nor SIGKILL.
    expected = {"a request that hangs": "ABORTED", "SIGQUIT of the arbiter": "INTERRUPT"}.get(what)
    assert [hook.split()[0] for hook in hooks] == (
        [expected] if expected and service.kind == "sync" else []
    ), text
    level = re.search(rf"\[(\w+)\] cgrun: worker \d+ \(pid {pid}\)", text)[1]
    module = f"{level} {event['cause']}, {event['confidence']}"
    ROWS.append(
        (
            what,
            str(service.stack),
            service.kind,
            words or "nothing",
            " and ".join("worker_int" if "INT" in hook else "worker_abort" for hook in hooks)
            or "nothing",
            module,
        )
    )


def life(stack, kind):
    """Workers end in each way that needs no gunicorn of its own, and the arbiter lives on."""
    with Service(stack, kind, WORKER_MEMORY_MAX="96M") as service:
        service.serves()
        arbiter = service.arbiter()
        assert leaf(arbiter) == {"arbiter"}, leaf(arbiter)
        assert all(leaf(pid) == {f"worker-{pid}"} for pid in service.workers())

        def step(what, act, expected, confidence="certain", **values):
            offset, victim = len(service.log()), service.worker()
            act(victim)
            (event,) = service.next()
            cause([event], (expected, confidence))
            assert {key: event[key] for key in values} == values, event
            told(service, offset, what, event)
            service.serves(1 if what == "SIGTTOU" else 2)
            return event

        def request(path):
            return lambda _: service.start_asking(path).close()

        step(
            "`kill -9` of a worker",
            lambda pid: os.kill(pid, signal.SIGKILL),
            "sigkill_from_elsewhere",
        )
        step(
            "`kill` of a worker", lambda pid: os.kill(pid, signal.SIGTERM), "sigterm_from_elsewhere"
        )
        step(
            "segmentation fault",
            request("/crash"),
            "crash",
            signal={"number": 11, "name": "SIGSEGV"},
        )
        step("`os._exit(7)`", request("/leave"), "exit", result="exited", exit_code=7)
        eaten = step("memory beyond the worker's limit", request("/eat"), "oom_own_limit")
        assert eaten["memory"] == {"peak_bytes": 96 << 20, "max_bytes": 96 << 20, "oom_kills": 1}, (
            eaten
        )
        step("a request that hangs", request("/hang"), "timeout", aborted=True)
        step("SIGTTOU", lambda _: os.kill(arbiter, signal.SIGTTOU), "scale_down")
        step("SIGHUP", lambda _: os.kill(arbiter, signal.SIGHUP), "reload")
        assert service.arbiter() == arbiter and service.groups() == sorted(
            f"worker-{pid}" for pid in service.workers()
        ), service.groups()

        offset = len(service.log())
        os.kill(arbiter, signal.SIGTERM)
        service.ends()
        events = service.next(2)
        cause(events, *[("shutdown", "certain")] * 2)
        told(service, offset, "SIGTERM of the arbiter", events[0])
        service.leaves_nothing()
        counted = {each: count for each, count in service.counts().items() if count}
        causes = [event["cause"] for event in service.events()]
        assert counted == {each: causes.count(each) for each in causes}, counted
        metrics = (service.place / "shop.prom").read_bytes()
        subprocess.run([os.environ["PROMTOOL"], "check", "metrics"], input=metrics, check=True)
        assert "cgrun_gunicorn" not in service.log() and "Error" not in service.log().replace(
            "Error handling request", ""
        ), service.log()


def all_signalled_at_once(stack, kind):
    """Whoever stops a service may signal its workers, too, which is not "from elsewhere"."""
    for number in (signal.SIGTERM, signal.SIGINT):
        with Service(stack, kind, options=("--graceful-timeout", "1")) as service:
            service.serves()
            arbiter, workers = service.arbiter(), service.workers()
            # Stopped meanwhile, it learns of both at once: the ends of its workers, and its signal.
            os.kill(arbiter, signal.SIGSTOP)
            for pid in (*workers, arbiter):
                os.kill(pid, number)
            eventually("the workers have ended", lambda: all(map(is_zombie, workers)))  # noqa: B023
            os.kill(arbiter, signal.SIGCONT)
            service.ends()
            # gunicorn may have forked others before it handles its signal.
            causes = {event["pid"]: event["cause"] for event in service.events()}
            assert causes.items() >= dict.fromkeys(workers, "shutdown").items(), service.log()
            assert set(causes.values()) == {"shutdown"}, service.log()
            service.leaves_nothing()


def requests_used_up(stack, kind):
    with Service(stack, kind, options=("--max-requests", "3", "--workers", "1")) as service:
        eventually(service.log, lambda: "ready to serve" in service.log())
        offset = len(service.log())
        for _ in range(4):
            service.ask()
        (event,) = service.next()
        cause([event], ("max_requests", "certain"))
        told(service, offset, "`max_requests` reached", event)


def does_not_boot(stack, kind):
    for app, code in (("app:missing", 4), ("missing:app", 3)):
        with Service(stack, kind, app=app, options=("--workers", "1")) as service:
            service.ends(code)
            (event,) = service.next()
            cause([event], ("boot_failure", "certain"))
            assert event["exit_code"] == code and not event["booted"], event
            assert service.counts()["boot_failure"] == 1
            if code == 3:
                told(service, 0, "the application cannot be imported", event)


def deployed_by_usr2(stack, kind):
    """The new gunicorn finds its place beside the old one, and both count in one file."""
    with Service(
        stack, kind, job=("--mem", "512M", "--wait-all"), WORKER_MEMORY_MAX="96M"
    ) as service:
        service.serves()
        old = service.arbiter()
        os.kill(old, signal.SIGUSR2)
        new = service.arbiter(".2")
        service.serves(2, new)
        offset = len(service.log())
        os.kill(old, signal.SIGTERM)
        events = service.next(2)
        cause(events, *[("deploy", "certain")] * 2)
        told(service, offset, "SIGUSR2, then SIGTERM of the old arbiter", events[0])
        os.kill(service.worker(), signal.SIGKILL)
        (event,) = service.next()
        cause([event], ("sigkill_from_elsewhere", "certain"))
        assert event["arbiter_pid"] == new, event
        os.kill(new, signal.SIGTERM)
        service.ends()
        cause(service.next(2), *[("shutdown", "certain")] * 2)
        assert service.counts()["deploy"] == 2 and service.counts()["shutdown"] == 2
        service.leaves_nothing()


def memory_of_the_job_used_up(stack, kind):
    """Without a limit for workers, the job's is hit. The kernel takes the largest process."""
    with Service(stack, kind, job=("--mem", "192M", "--pids", "64")) as service:
        service.serves()
        arbiter, offset = service.arbiter(), len(service.log())
        service.start_asking("/eat").close()
        (event,) = service.next()
        cause([event], ("oom_ancestor", "certain"))
        told(service, offset, "memory beyond the job's limit", event)
        service.serves()
        assert service.arbiter() == arbiter
        service.end()


def slow_to_end(stack, kind):
    """gunicorn kills a worker at the end of graceful_timeout, and says "out of memory"."""
    with Service(
        stack, kind, options=("--workers", "1", "--graceful-timeout", "1", "--timeout", "600")
    ) as service:
        service.serves(1)
        client = service.start_asking("/hang")
        # It is at work on the request once nobody else accepts the next one.
        time.sleep(0.5)
        offset = len(service.log())
        os.kill(service.arbiter(), signal.SIGTERM)
        service.ends()
        client.close()
        (event,) = service.next()
        cause([event], ("shutdown", "certain"))
        assert event["signal"]["name"] == "SIGKILL", event
        told(service, offset, "a worker that outlasts `graceful_timeout`", event)


def stopped_quickly(stack, kind):
    """SIGQUIT, which some images send by default. Workers of uvicorn do not heed it."""
    with Service(stack, kind, options=("--workers", "1", "--graceful-timeout", "1")) as service:
        service.serves(1)
        offset = len(service.log())
        os.kill(service.arbiter(), signal.SIGQUIT)
        service.ends()
        (event,) = service.next()
        cause([event], ("shutdown", "certain"))
        told(service, offset, "SIGQUIT of the arbiter", event)


def strays(stack, kind):
    """What a worker has started and left is named, and killed if so asked."""
    for asked in (False, True):
        with Service(stack, kind, **({"KILL_STRAYS": "1"} if asked else {})) as service:
            service.serves()
            worker, stray = (int(word) for word in service.ask("/daemon").split())
            os.kill(worker, signal.SIGKILL)
            (event,) = service.next()
            assert event["strays"] == [{"pid": stray, "comm": "sleep"}], event
            service.serves()
            if asked:
                eventually("the stray is gone", lambda: not Path(f"/proc/{stray}").exists())  # noqa: B023
            else:
                assert f"worker-{worker}" in service.groups() and Path(f"/proc/{stray}").exists()
            service.end()


def jobs_of_a_worker(stack, kind):
    """A worker may run cgrun, which needs room in the worker's cgroup; what is counted stays so."""
    with Service(stack, kind, WORKER_MEMORY_MAX="96M") as service:
        service.serves()
        for _ in range(8):  # both workers, in all likelihood
            assert service.ask("/job").split()[1:] == ["0"], service.ask("/job")
        service.start_asking("/eat").close()
        (event,) = service.next()
        cause([event], ("oom_own_limit", "certain"))
        service.serves()
        assert service.groups() == sorted(f"worker-{pid}" for pid in service.workers())
        service.end()


def as_nobody(stack, kind):
    """gunicorn is root and its workers are not: groups, limits and the end of all work the same."""
    with Service(
        stack,
        kind,
        options=("--user", "nobody", "--group", "nogroup"),
        public=True,
        WORKER_MEMORY_MAX="96M",
    ) as service:
        service.serves()
        worker = service.worker()
        assert Path(f"/proc/{worker}").stat().st_uid == 65534
        assert leaf(worker) == {f"worker-{worker}"}, leaf(worker)
        service.start_asking("/eat").close()
        (event,) = service.next()
        cause([event], ("oom_own_limit", "certain"))
        service.serves()
        service.ask("/daemon")
        # The launcher is lost: its guard kills the tree, and removes the cgroups below the job's.
        service.end(signal.SIGKILL, -signal.SIGKILL)


def limits_that_cannot_be(stack, kind):
    """No gunicorn without a limit that was asked for; without one, it serves."""
    refused = [
        (None, "gunicorn was not started by cgrun"),
        (("--mem", "512M", "--uid", "nobody", "--gid", "nogroup"), "Permission denied"),
    ]
    # On cgroup v2, a job without --mem has the controller all the same, once another has asked.
    if Path("/sys/fs/cgroup/unified").exists():
        refused.append((("--pids", "64"), "the job has no memory controller"))
    for job, words in refused:
        with Service(stack, kind, job=job, public=True, WORKER_MEMORY_MAX="96M") as service:
            service.ends(1)
            log = service.log()
            assert re.search(f"Error: worker_memory_max=96M: .*{words}", log), log
    with Service(stack, kind, job=None) as service:
        service.serves()
        words = "workers get no cgroups of their own: gunicorn was not started by cgrun"
        assert service.log().count(words) == 1, service.log()
        os.kill(service.worker(), signal.SIGKILL)
        (event,) = service.next()
        # An OOM kill anywhere on this machine meanwhile, as in another check, makes it possible.
        expected = ("sigkill_from_elsewhere", "certain"), ("oom_ancestor", "possible")
        assert (event["cause"], event["confidence"]) in expected, event
        assert event["memory"] == {"peak_bytes": None, "max_bytes": None, "oom_kills": None}, event
        service.end()


ONCE = (
    requests_used_up,
    does_not_boot,
    deployed_by_usr2,
    memory_of_the_job_used_up,
    slow_to_end,
    strays,
    jobs_of_a_worker,
    stopped_quickly,
    as_nobody,
    all_signalled_at_once,
    limits_that_cannot_be,
)
AS_NOBODY = (as_nobody, limits_that_cannot_be)
