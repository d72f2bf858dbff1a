import CLinux

/// Keeps a scope from being collected for as long as somebody has the other end of the socket, and
/// then kills what it was told to. All signals that can be are blocked.
///
/// - Parameter cgroupBefore: the hash of the cgroups that a manager is asked to move this process out of.
func hold(from cgroupBefore: UInt64) -> CInt {
    clinux_set_name("cgrun-holder")
    // The manager is asked to move this process, the guard and the job's first in a moment.
    clinux_await_move_lock()
    var killFile: CInt = -1
    var isAlone = false
    while true {
        if let mail = Mail.next(&isAlone) { killFile = mail.descriptors.first ?? -1 }
        if isAlone {
            clinux_await_scope(cgroupBefore)
            if killFile >= 0 { _ = clinux_write(killFile, "1", 1) }
            return 0
        }
        var control = pollfd(fd: CInt(GUARD_CONTROL), events: Int16(POLLIN), revents: 0)
        _ = clinux_poll(&control, 1, -1)
    }
}
