internal import CLinux
internal import Glibc
package import SandboxValues
internal import SystemPackage

/// A process number (pid); it may come to mean another process once the process that has it is reaped.
public typealias ProcessID = Int32

/// A process by pidfd, which keeps meaning the same process even after the pid is used again.
///
/// The descriptor is readable (poll) once the process has ended.
package struct ProcessDescriptor: ~Copyable, Sendable {
    package let descriptor: Descriptor
    package let pid: ProcessID

    /// - Throws: `ESRCH` when no such process is left.
    package init(pid: ProcessID) throws(SystemError) {
        descriptor = Descriptor(owning: try check(clinux_pidfd_open(pid), "pidfd_open", value: String(pid)))
        self.pid = pid
    }

    init(owning pidfd: CInt, pid: ProcessID) {
        descriptor = Descriptor(owning: pidfd)
        self.pid = pid
    }

    /// Sends a signal. A process that has ended already is no error.
    package func send(_ signal: Signal) throws(SystemError) {
        var result = clinux_pidfd_send_signal(descriptor.rawValue, signal.rawValue)
        // Filters of container engines refuse system calls that they do not know. The pid of a process that has not
        // ended means no other.
        if result == -ENOSYS || result == -EPERM, !hasEnded {
            result = kill(pid, signal.rawValue) == 0 ? 0 : -errno
        }
        guard result != -ESRCH else { return }
        _ = try check(result, "pidfd_send_signal", value: "\(signal)")
    }

    /// Sends a signal to the process group that this process leads, or to the process alone where it leads none. The
    /// process must be a child that is not reaped yet.
    package func sendToGroup(_ signal: Signal) {
        if kill(-pid, signal.rawValue) != 0 { kill(pid, signal.rawValue) }
    }

    package var hasEnded: Bool {
        var polled = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
        return poll(&polled, 1, 0) > 0
    }

    package enum Change: Equatable, Sendable {
        case ended(ExitStatus)
        case stopped(Signal)
    }

    /// How a child has ended or was stopped, without waiting; `nil` if neither happened. Reaps a child that has ended.
    package func change() throws(SystemError) -> Change? {
        try wait(WEXITED | WSTOPPED | WNOHANG)
    }

    /// Waits for a child's end and reaps it.
    package func waitForEnd() throws(SystemError) -> ExitStatus {
        while true {
            if case .ended(let status) = try wait(WEXITED) { return status }
        }
    }

    /// Waits for a child's end and reaps it.
    ///
    /// - Returns: `nil` when the child has not ended within this time.
    package func waitForEnd(within bound: Duration) throws(SystemError) -> ExitStatus? {
        var poller = Poller()
        poller.add(descriptor.rawValue)
        guard poller.wait(bound)[0] else { return nil }
        return try waitForEnd()
    }

    private func wait(_ options: CInt) throws(SystemError) -> Change? {
        var result = clinux_wait_status()
        _ = try check(clinux_wait(descriptor.rawValue, options, &result), "waitid", value: String(pid))
        switch result.code {
        case CInt(CLD_EXITED): return .ended(.exited(code: result.status))
        case CInt(CLD_KILLED), CInt(CLD_DUMPED):
            let coreDumped = result.code == CInt(CLD_DUMPED)
            return .ended(.signaled(Signal(rawValue: result.status), coreDumped: coreDumped))
        case CInt(CLD_STOPPED): return .stopped(Signal(rawValue: result.status))
        default: return nil
        }
    }
}
