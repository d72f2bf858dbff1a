internal import CLinux
internal import Glibc
package import SandboxValues

extension ThisProcess {
    /// Whether a terminal controls this session, whatever the standard streams are; `true` where that cannot be found
    /// out.
    package static var hasTerminal: Bool { ProcessTable.field(4, of: "self").map { $0 != "0" } ?? true }

    /// Whether `terminal` is the one that controls this session.
    package static func isControlled(by terminal: CInt) -> Bool { tcgetsid(terminal) == getsid(0) }

    /// Whether the standard streams are all the same terminal, and this process is in its foreground.
    package static var isAtTerminal: Bool {
        let devices = (CInt(0)...2).map { stream in
            var status = stat()
            return isatty(stream) == 1 && fstat(stream, &status) == 0 ? status.st_rdev : 0
        }
        return devices[0] != 0 && Set(devices).count == 1 && tcgetpgrp(0) == getpgrp()
    }

    /// Whether this process group is in the foreground of this session's terminal.
    package static var isTerminalForeground: Bool {
        guard let terminal = try? Descriptor(opening: "/dev/tty", O_RDWR | O_NOCTTY) else { return false }
        return tcgetpgrp(terminal.rawValue) == getpgrp()
    }

    /// Whether another process group is in the foreground of the terminal; `false` if the terminal is not this
    /// session's.
    public static func isInBackground(of terminal: CInt) -> Bool {
        let group = tcgetpgrp(terminal)
        return group > 0 && group != getpgrp()
    }

    /// Stops this process with a signal such as SIGTSTP, as a terminal would. The kernel does not stop a process in an
    /// orphaned process group, where nobody could continue it. SIGCONT must be blocked, and is pending afterwards.
    ///
    /// - Returns: whether this process was stopped, and continued.
    public static func stop(by signal: Signal) -> Bool {
        _ = Signal.continue.takePending()
        raise(signal.rawValue)
        let before = SignalSet.blocked
        SignalSet([signal]).unblock()
        before.replaceMask()
        return SignalSet.pending.contains(.continue)
    }

    /// Stops this process as long as it is in the background, as the kernel stops background processes that use the
    /// terminal.
    ///
    /// - Parameter signal: SIGTTIN or SIGTTOU, as for reading or writing.
    /// - Returns: whether this process may go on; `false` if a signal has asked it to end meanwhile.
    public static func awaitForeground(of terminal: CInt, by signal: Signal) -> Bool {
        while isInBackground(of: terminal) {
            guard stop(by: signal) else { break }
            let arrived = SignalSet.pending
            if Signal.requestsToEnd.contains(where: { arrived.contains($0) }) { return false }
        }
        return true
    }

    /// Stops this process with SIGSTOP, which cannot be ignored.
    package static func stop() { raise(SIGSTOP) }
}
