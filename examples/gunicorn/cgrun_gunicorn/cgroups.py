"""The job's cgroups, and those of gunicorn's processes in them."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from dataclasses import dataclass
from typing import Any

LEAF = "cgrun-leaf"  # where cgrun moves processes that are in the way of limits for a job


@dataclass(frozen=True)
class Group:
    """A cgroup in one hierarchy: that of version 2, or version 1's of the memory controller."""

    path: str
    version: int

    def child(self, name: str) -> Group:
        return Group(os.path.join(self.path, name), self.version)

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def read(self, file: str) -> str | None:
        try:
            with open(self.file(file), encoding="ascii") as stream:
                return stream.read().strip()
        except OSError:
            return None

    def write(self, file: str, value: str | int) -> None:
        # In one system call, as the kernel wants it. Errors name the file and the value.
        path = self.file(file)
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, str(value).encode())
        except OSError as error:
            raise OSError(
                error.errno, f"{os.strerror(error.errno or 0)}, writing {value}", path
            ) from None
        finally:
            os.close(descriptor)

    def number(self, file: str, key: str | None = None) -> int | None:
        text = self.read(file)
        if text is not None and key is not None:
            lines = (line.split() for line in text.splitlines())
            text = next((words[1] for words in lines if words[0] == key), None)
        return int(text) if text is not None and text.isdigit() else None

    @property
    def limits_memory(self) -> bool:
        return os.path.exists(self.file(self._limit_files[0]))

    @property
    def _limit_files(self) -> tuple[str, str]:
        """That for memory, and that for swap, which a kernel without swap accounting lacks."""
        if self.version == 2:
            return "memory.max", "memory.swap.max"
        return "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"

    def limit(self, size: int) -> None:
        """Limits memory, allows no swap besides, and reads both back."""
        memory, swap = self._limit_files
        values = {memory: size, swap: 0 if self.version == 2 else size}
        for file, value in values.items():
            if file == swap and not os.path.exists(self.file(file)):
                continue
            self.write(file, value)
            found = self.number(file)
            if found != value - value % mmap.PAGESIZE:
                message = f"{value} was written, and {found} is in force"
                raise OSError(errno.EINVAL, message, self.file(file))

    def memory_limit(self) -> int | None:
        limit = self.number(self._limit_files[0])
        return limit if limit is not None and limit < 2**60 else None  # v1 says "none" as 2^63

    def memory_peak(self) -> int | None:
        return self.number("memory.peak" if self.version == 2 else "memory.max_usage_in_bytes")

    def oom_kills(self) -> int | None:
        """Of the processes of this very group, those that the kernel killed, at whichever limit."""
        if self.version == 2:
            kills = self.number("memory.events.local", "oom_kill")
            inside = self.child(LEAF).number("memory.events.local", "oom_kill") or 0
            return None if kills is None else kills + inside
        return self.number("memory.oom_control", "oom_kill")

    def limit_hits(self) -> int | None:
        """How often this group's own limit left no memory; with v1, 1 once it was reached."""
        if self.version == 2:
            return self.number("memory.events.local", "oom")
        # v1 has failcnt for this, but it stays at 0 with recent kernels.
        peaks = ("memory.max_usage_in_bytes", "memory.memsw.max_usage_in_bytes")
        limit = self.memory_limit()
        return int(limit is not None and any((self.number(peak) or 0) >= limit for peak in peaks))

    def remove(self) -> bool:
        """Whether it is gone, which it is not while there are processes or jobs in it."""
        for path in (self.file(LEAF), self.path):
            with contextlib.suppress(OSError):
                os.rmdir(path)
        return not os.path.exists(self.path)

    def processes(self) -> list[dict[str, Any]]:
        found = []
        for directory, _, _ in os.walk(self.path):
            for pid in (Group(directory, self.version).read("cgroup.procs") or "").split():
                try:
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
                        found.append({"pid": int(pid), "comm": stream.read().rstrip("\n")})
                except OSError:
                    pass  # ended meanwhile
        return found


def with_memory(groups: list[Group]) -> Group | None:
    return next((group for group in groups if group.limits_memory), None)


def job_groups() -> list[Group]:
    """The job's own: that of cgroup v2, and v1's of the memory controller where cgrun made one."""
    if "CGRUN_JOB_ID" not in os.environ:
        raise LookupError("gunicorn was not started by cgrun")
    paths = {}
    with open("/proc/self/cgroup", encoding="utf-8") as stream:
        for line in stream:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            paths.update(dict.fromkeys(controllers.split(","), path))
    unified = _directory("cgroup2", "", paths.get("", "/"))
    if unified is None:
        raise LookupError("no mount of cgroup2 has the cgroup of this process")
    groups = [Group(unified, 2)]
    legacy = _directory("cgroup", "memory", paths.get("memory", "/"))
    # Without --mem, gunicorn is in the same v1 group as whoever called cgrun.
    if legacy is not None and os.path.basename(legacy) == os.path.basename(unified):
        groups.append(Group(legacy, 1))
    # After SIGUSR2, the new gunicorn starts in the leaf of the old one.
    if os.path.basename(unified) == "arbiter":
        groups = [Group(os.path.dirname(group.path), group.version) for group in groups]
    return groups


def _directory(kind: str, option: str, path: str) -> str | None:
    """Where a cgroup other than the root is, given its path in /proc/self/cgroup."""
    with open("/proc/self/mountinfo", encoding="utf-8") as stream:
        for line in stream:
            mount, _, filesystem = line.partition(" - ")
            root, point = mount.split()[3:5]
            found, _, options = filesystem.split()[:3]
            root = root.rstrip("/")
            same = found == kind and (not option or option in options.split(","))
            if same and path.startswith(root + "/") and path != "/":
                return point + path[len(root) :]
    return None


def settle(groups: list[Group]) -> None:
    """Puts gunicorn into a leaf of each group, and passes the memory controller on.

    The kernel passes controllers on only from a cgroup that has no processes of its own.
    """
    for group in groups:
        leaf = group.child("arbiter")
        os.makedirs(leaf.path, exist_ok=True)
        for _ in range(10):  # processes that are there may start others meanwhile
            pids = (group.read("cgroup.procs") or "").split()
            if not pids:
                break
            for pid in pids:
                try:
                    leaf.write("cgroup.procs", pid)
                except ProcessLookupError:
                    pass
        if group.version == 2 and "memory" in (group.read("cgroup.controllers") or "").split():
            group.write("cgroup.subtree_control", "+memory")


def make(groups: list[Group], limit: int | None) -> None:
    for group in groups:
        os.makedirs(group.path, exist_ok=True)
        if group.version == 2:
            # systemd's mark. It lets cgrun put the worker into a leaf, to make jobs beside it.
            with contextlib.suppress(OSError):
                os.setxattr(group.path, "user.delegate", b"1")
    if limit is not None:
        limited = with_memory(groups)
        if limited is None:
            raise LookupError("the job has no memory controller; start it with cgrun --mem")
        limited.limit(limit)
