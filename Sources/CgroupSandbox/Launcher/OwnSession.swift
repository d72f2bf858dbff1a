internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// What keeps a command that runs as another user away from this process's terminal.
///
/// Every process of a session can write into the session's terminal as if somebody typed (TIOCSTI), and can open it as
/// `/dev/tty`. Once the command has ended, the shell that started this process would read the text and run it as its
/// own user. A command in a session of its own has no terminal, and cannot get this one. There, the signals for keys do
/// not reach it, and the kernel does not stop its reads in the background.
struct OwnSession: Sendable {
    /// What the command gets in place of standard streams that are this process's terminal.
    private(set) var streams: [Int: SharedDescriptor] = [:]
    /// Whether the command's standard input stays that terminal, since this process is in its foreground.
    private(set) var readsTerminal = false

    /// - Parameter given: the standard streams that the command would get otherwise.
    init(_ given: [CInt]) throws(LaunchError) {
        do throws(SystemError) {
            for (place, stream) in given.enumerated() where ThisProcess.isControlled(by: stream) {
                if place > 0 {
                    // A terminal that others have opened for both ways would let the command read from its stdout or
                    // stderr what is typed for a shell, once this process is in the background.
                    let path = "/proc/self/fd/\(stream)"
                    streams[place] = SharedDescriptor(try Descriptor(opening: path, O_WRONLY | O_NOCTTY))
                } else if ThisProcess.isInBackground(of: stream) {
                    streams[place] = SharedDescriptor(try Descriptor(opening: "/dev/null", O_RDONLY))
                } else {
                    readsTerminal = true
                }
            }
        } catch { throw LaunchError(error) }
    }
}

extension JobSpec {
    /// Whether the command runs as another user, and this process has a terminal that the command could type into.
    ///
    /// - Parameter streams: the standard streams that the command would get otherwise.
    package func needsOwnSession(_ streams: [CInt] = [0, 1, 2]) -> Bool {
        guard let uid = credentials?.uid, uid != ThisProcess.effectiveUserID, terminal == nil else { return false }
        return ThisProcess.hasTerminal || streams.contains { TerminalModes(of: $0) != nil }
    }
}

extension LaunchedJob {
    /// Acts on a signal to this process, for a command in a session of its own without a terminal. Signals of this
    /// process's terminal reach the command only if this process passes them on.
    ///
    /// - Parameter arrived: all signals that have arrived with it.
    func pass(_ received: SignalDescriptor.Received, of arrived: [SignalDescriptor.Received]) {
        switch received.signal {
        case .terminalStop:
            driver.sendToGroup(.terminalStop)
            stopForKey()
        case .continue:
            let isAskedToEnd = arrived.contains { Signal.requestsToEnd.contains($0.signal) }
            if driver.readsTerminal, !driver.isBeingStopped, !isAskedToEnd {
                _ = ThisProcess.awaitForeground(of: 0, by: .terminalInput)
            }
            driver.sendToGroup(.continue)
            driver.note(forwarded: .continue)
        case let signal where received.isForGroup: passToGroup(signal)
        case let signal: try? driver.pass(signal)
        }
    }

    /// Passes on a signal of this process's terminal to the process group that the command leads.
    func passToGroup(_ signal: Signal) {
        driver.sendToGroup(signal)
        driver.note(fromTerminal: [signal])
    }
}
