internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// What keeps a command that runs as another user away from this process's terminal.
///
/// The terminal of a session takes characters from any of its processes as if they were typed (TIOCSTI), through
/// whatever descriptor of it, and opens for all of them as `/dev/tty`. Once the command has ended, the shell that
/// started this process would read and carry them out, as its own user. In a session of its own the command has
/// no terminal, and cannot get this one. The kernel's signals for keys do not reach it there, and its reads are not
/// stopped in the background.
struct OwnSession: Sendable {
    /// What the command gets as standard streams in place of this process's terminal.
    let streams: [Int: SharedDescriptor]
    /// Whether it reads from that terminal, which this process is in the foreground of.
    let readsTerminal: Bool

    /// - Parameter given: what would be the command's standard streams.
    init(_ given: [CInt]) throws(LaunchError) {
        var streams: [Int: SharedDescriptor] = [:]
        var readsTerminal = false
        do throws(SystemError) {
            for (place, stream) in given.enumerated() where ThisProcess.isControlled(by: stream) {
                if place > 0 {
                    // Terminals are opened for both ways. Through these the command would read what is typed for a
                    // shell, once this process is in the background.
                    let path = "/proc/self/fd/\(stream)"
                    streams[place] = SharedDescriptor(try Descriptor(opening: path, O_WRONLY | O_NOCTTY))
                } else if ThisProcess.isInBackground(of: stream) {
                    streams[place] = SharedDescriptor(try Descriptor(opening: "/dev/null", O_RDONLY))
                } else {
                    readsTerminal = true
                }
            }
        } catch { throw LaunchError(error) }
        self.streams = streams
        self.readsTerminal = readsTerminal
    }
}

extension JobSpec {
    /// Whether the command is to be another user, and this process has a terminal that it could type into.
    ///
    /// - Parameter streams: what would be the command's standard streams.
    package func needsOwnSession(_ streams: [CInt] = [0, 1, 2]) -> Bool {
        guard let uid = credentials?.uid, uid != ThisProcess.effectiveUserID, terminal == nil else { return false }
        return ThisProcess.hasTerminal || streams.contains { TerminalModes(of: $0) != nil }
    }
}

extension LaunchedJob {
    /// Acts on what arrived at this process, for a command in a session of its own without a terminal. What this
    /// process's terminal tells, the command learns from here or not at all.
    ///
    /// - Parameter arrived: all that arrived with it.
    func pass(_ received: SignalDescriptor.Received, of arrived: [SignalDescriptor.Received]) {
        switch received.signal {
        case .windowChange: driver.sendToGroup(.windowChange)
        case .terminalStop: stopForKey()
        case .continue:
            let isAskedToEnd = arrived.contains { Signal.requestsToEnd.contains($0.signal) }
            if driver.readsTerminal, !driver.isBeingStopped, !isAskedToEnd {
                _ = ThisProcess.awaitForeground(of: 0, by: .terminalInput)
            }
            driver.sendToGroup(.continue)
            driver.note(forwarded: .continue)
        case let signal where received.isFromKernel && !(signal == .hangUp && ThisProcess.leadsSession):
            driver.sendToGroup(signal)
            driver.note(fromTerminal: [signal])
        case let signal: try? driver.pass(signal)
        }
    }

    /// Stops the command as the key for it would. The kernel stops no process group for a terminal that nobody
    /// outside it in its session could continue, and the command's is such an orphan: its parent is this process.
    private func stopForKey() {
        driver.sendToGroup(.terminalStop)
        guard !ProcessTable.ignores(.terminalStop, pid) else { return }
        stopCommand(afterMoment: true)
    }
}
