// The guard of a process's jobs: waits for that process or a job's parent to be gone, then
// kills the job's cgroup and removes it. Embedded Swift over CLinux, so that it
// starts in a fraction of a millisecond and stays near 1 MB. What it is told,
// and by whom, is in guard_protocol.h.

import CLinux

func guardJobs() -> CInt {
    clinux_raise_descriptor_limit()
    // Queued before this process started.
    guard case .message(let first) = Mail.next() else { return 125 }
    if first.kind == GUARD_HOLD { return hold() }
    guard var watch = Watch(first) else { return 125 }
    return watch.run()
}

exit(guardJobs())
