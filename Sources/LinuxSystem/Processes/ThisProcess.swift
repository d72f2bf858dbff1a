internal import CLinux
internal import Glibc
package import SandboxValues
internal import SystemPackage

/// Facts about this process.
package enum ThisProcess {
    package static var id: ProcessID { getpid() }
    /// 0 when the parent is outside the pid namespace, 1 when it is gone or is init.
    package static var parentID: ProcessID { getppid() }
    package static var effectiveUserID: UInt32 { geteuid() }
    package static var effectiveGroupID: UInt32 { getegid() }

    package static var currentDirectory: String? {
        guard let path = getcwd(nil, 0) else { return nil }
        defer { free(path) }
        return String(cString: path)
    }

    /// Whether `parent` can be the process that forked this one: a child is of its parent's session,
    /// unless it leads one of its own.
    package static func sharesSession(with parent: ProcessID) -> Bool {
        let own = getsid(0)
        return own == getpid() || own == getsid(parent)
    }

    package static var leadsSession: Bool { getsid(0) == getpid() }

    /// The program that this process runs, free of symbolic links.
    package static var executablePath: String? { readLink("/proc/self/exe") }

    /// Tells its cgroups from others: a hash of `/proc/self/cgroup`.
    package static var cgroupHash: UInt64 { clinux_own_cgroup() }

    /// `NAME=value` each, byte for byte.
    package static var environment: [ByteString] {
        var result: [ByteString] = []
        var next = clinux_environment()
        while let entry = next.pointee {
            result.append(ByteString(cString: entry))
            next += 1
        }
        return result
    }

    package static func environmentVariable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }

    /// How many descriptors this process and its children may have at most (hard RLIMIT_NOFILE).
    package static var hardDescriptorLimit: Int { Int(clamping: clinux_hard_descriptor_limit()) }

    /// -1000 exempts from every OOM kill; children inherit it.
    package static var oomScoreAdjustment: Int? {
        (try? readTextFile("/proc/self/oom_score_adj")).flatMap { Int($0.dropLast()) }
    }

    /// Whether a terminal controls this session, whatever the standard streams are. One that cannot be told does.
    package static var hasTerminal: Bool { ProcessTable.field(4, of: "self").map { $0 != "0" } ?? true }

    /// Whether this is the terminal that controls this session.
    package static func isControlled(by terminal: CInt) -> Bool { tcgetsid(terminal) == getsid(0) }

    /// Whether the standard streams are all the same terminal, and this process is in its foreground.
    package static var isAtTerminal: Bool {
        let devices = (CInt(0)...2).map { stream in
            var status = stat()
            return isatty(stream) == 1 && fstat(stream, &status) == 0 ? status.st_rdev : 0
        }
        return devices[0] != 0 && Set(devices).count == 1 && tcgetpgrp(0) == getpgrp()
    }

    /// Whether this process group is the one that its terminal listens to.
    package static var isTerminalForeground: Bool {
        guard let terminal = try? Descriptor(opening: "/dev/tty", O_RDWR | O_NOCTTY) else { return false }
        return tcgetpgrp(terminal.rawValue) == getpgrp()
    }

    /// Whether another process group than this one's has the terminal, if it is this session's.
    public static func isInBackground(of terminal: CInt) -> Bool {
        let group = tcgetpgrp(terminal)
        return group > 0 && group != getpgrp()
    }

    /// Stops as a terminal has it, with a signal such as SIGTSTP: not where nobody could continue this
    /// process, in an orphaned process group. SIGCONT has to be blocked, and is pending afterwards.
    ///
    /// - Returns: whether it was stopped, and continued.
    public static func stop(by signal: Signal) -> Bool {
        _ = Signal.continue.takePending()
        raise(signal.rawValue)
        let before = SignalSet.blocked
        SignalSet([signal]).unblock()
        before.replaceMask()
        return SignalSet.pending.contains(.continue)
    }

    /// Stops as long as this process is in the background, as the kernel stops those that want the terminal.
    ///
    /// - Parameter signal: the one for that, SIGTTIN or SIGTTOU.
    /// - Returns: whether it may go on; not if it was asked to end meanwhile.
    public static func awaitForeground(of terminal: CInt, by signal: Signal) -> Bool {
        while isInBackground(of: terminal) {
            guard stop(by: signal) else { break }
            let arrived = SignalSet.pending
            if Signal.requestsToEnd.contains(where: { arrived.contains($0) }) { return false }
        }
        return true
    }

    /// Stops as if by a job-control signal that could not be ignored.
    package static func stop() { raise(SIGSTOP) }
}
