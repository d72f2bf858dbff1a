import CLinux

/// Keeps a scope from being collected for as long as somebody has the other end of the socket, and
/// then kills what it was told to. All signals that can be are blocked.
func hold() -> CInt {
    clinux_set_name("cgrun-holder")
    let scope = AwaitedScope()
    // The manager is asked to move this process, the guard and the job's first in a moment.
    clinux_await_move_lock()
    var message = guard_message()
    var received = [CInt](repeating: -1, count: Int(GUARD_MAX_DESCRIPTORS))
    var killFile: CInt = -1
    while true {
        var count: CUnsignedInt = 0
        let size = clinux_receive(
            CInt(GUARD_CONTROL), &message, MemoryLayout<guard_message>.size, &received, &count)
        if size <= 0, size != -Int(EAGAIN) {
            scope.wait()
            if killFile >= 0 { _ = clinux_write(killFile, "1", 1) }
            return 0
        }
        if size > 0, count > 0 { killFile = received[0] }
        var control = pollfd(fd: CInt(GUARD_CONTROL), events: Int16(POLLIN), revents: 0)
        _ = clinux_poll(&control, 1, -1)
    }
}

/// A scope that a manager has been asked to move this process into.
struct AwaitedScope {
    private let before = clinux_own_cgroup()

    /// Waits until this process is in it.
    func wait() { clinux_await_scope(before) }
}
