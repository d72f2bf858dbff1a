import CLinux

/// Keeps systemd from removing the scope that this process is in, for as long as somebody has the other end of the
/// socket. Then kills the cgroup that it was told to kill, if any. All signals that can be blocked are blocked.
func hold() -> CInt {
    clinux_set_name("cgrun-holder")
    Mail.sayReady()
    var killFile: CInt = -1
    var cgroupBefore: UInt64?
    while true {
        switch Mail.next() {
        case .message(let message):
            if message.kind == GUARD_SCOPE { cgroupBefore = message.number }
            if message.kill_file >= 0 { killFile = message.kill_file }
        case .ended, .broken:
            if let cgroupBefore { clinux_await_scope(cgroupBefore) }
            if killFile >= 0 { _ = clinux_write(killFile, "1", 1) }
            return 0
        case .none: break
        }
        var control = pollfd(fd: CInt(GUARD_CONTROL), events: Int16(POLLIN), revents: 0)
        _ = clinux_poll(&control, 1, -1)
    }
}
