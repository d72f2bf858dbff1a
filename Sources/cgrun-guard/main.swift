// The guard of one job: waits for the launcher or its parent to be gone, then
// kills the job's cgroup and removes it. Embedded Swift over CLinux, so that it
// starts in a fraction of a millisecond and stays near 1 MB. What it is told,
// and by whom, is in guard_protocol.h.

import CLinux

func guardJob() -> CInt {
    var job = GuardedJob()
    job.receiveMessages()
    guard job.isWatching else { return 125 }
    while true {
        switch job.waitForEvent() {
        case .message:
            job.receiveMessages()
            // A job that is armed after its parent was lost must not live on either.
            if job.parentLost { job.kill() }
        case .parent:
            job.receiveMessages()
            job.parentLost = true
            job.kill()
        case .launcher:
            // What the launcher sent just before it died counts.
            job.receiveMessages()
            job.recover(job.parentLost ? GUARD_PARENT_LOST : GUARD_LAUNCHER_LOST)
            return 0
        case .launcherUnresponsive:
            job.recover(GUARD_PARENT_LOST)
            return 0
        }
    }
}

exit(guardJob())
