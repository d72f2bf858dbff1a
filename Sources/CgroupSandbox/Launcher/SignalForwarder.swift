public import LinuxSystem
internal import SandboxValues

/// The signals that a launcher passes on to its command, read without handlers.
///
/// For programs that are a launcher and nothing else, such as `cgrun`: `init` blocks these signals in the calling
/// thread. Make it before anything else, and before there are other threads.
public final class SignalForwarder {
    /// Passed on to the command, whoever sends them: all signals that would end a program but for those in `notPassedOn`.
    static let forwarded = Signal.all.filter { !notPassedOn.contains($0) }

    /// What the kernel carries out whatever a program says, stops a program for its shell, tells of a fault in cgrun's
    /// own code, or is handled by itself. SIGTERM is a request to stop, and becomes the stop signal.
    private static let notPassedOn: [Signal] =
        [.kill, .stop, .terminalStop, .terminalInput, .terminalOutput, .child, .terminate] + Signal.faults

    let source: SignalDescriptor

    /// Blocks the signals, so that they can be read.
    ///
    /// - Parameter relaysTerminal: whether the command gets a terminal or a session of its own. The keys of the
    ///   launcher's terminal do not reach it then, and this process passes SIGTSTP on as well.
    /// - Throws: when no descriptor is free.
    public init(relaysTerminal: Bool = false) throws(SystemError) {
        // Some daemons start programs with SIGCHLD ignored: then the kernel would forget how children end.
        Signal.child.takeDefaultAction()
        let signals = SignalSet(Self.forwarded + [.terminate, .child] + (relaysTerminal ? [.terminalStop] : []))
        signals.replaceMask()
        source = try SignalDescriptor(signals)
    }
}

extension SignalDescriptor.Received {
    /// Whether the kernel tells this process of its own doing: a write that nobody reads, or to a file that is too
    /// large, or CPU time that it has used itself.
    var isAboutLauncher: Bool {
        let causes: [Signal] = [.pipe, .fileTooLarge, .cpuTimeUsed]
        return causes.contains(signal) && (isFromKernel || sender == ThisProcess.id)
    }

    /// Whether a terminal sent the signal to the whole process group in its foreground. Only SIGHUP, when the terminal
    /// hangs up, goes to the leader of the session alone.
    var isForGroup: Bool {
        let ofTerminal: [Signal] = [.interrupt, .quit, .hangUp, .windowChange]
        return isFromKernel && ofTerminal.contains(signal) && !(signal == .hangUp && ThisProcess.leadsSession)
    }
}
