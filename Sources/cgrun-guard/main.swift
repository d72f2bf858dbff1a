// The guard of a launcher's jobs. When the launcher or the parent of a job is gone, it kills the job's cgroup and
// removes it. It is written in Embedded Swift over CLinux, so that it starts in a fraction of a millisecond and stays
// near 1 MB. guard_protocol.h has the messages that it gets.

import CLinux

func guardJobs() -> CInt {
    let descriptorLimit = clinux_raise_descriptor_limit()
    // The first message was in the socket before this process started.
    guard case .message(let first) = Mail.next() else { return 125 }
    if first.kind == GUARD_HOLD { return hold() }
    guard var watch = Watch(first, descriptorLimit) else { return 125 }
    return watch.run()
}

exit(guardJobs())
