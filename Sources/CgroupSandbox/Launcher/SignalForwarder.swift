public import LinuxSystem
internal import SandboxValues

/// The signals that a launcher passes on to its command, read without handlers.
///
/// For programs that are a launcher and nothing else, such as `cgrun`: `init` blocks these signals in the calling
/// thread. Make it before anything else, and before there are other threads.
public final class SignalForwarder {
    /// Passed on to the command as they are. SIGTERM is a request to stop, and becomes the stop signal.
    static let forwarded: [Signal] = [.interrupt, .hangUp, .quit, .user1, .user2, .continue]

    /// Read as well where the command has a terminal or session of its own: the launcher's terminal does not reach it.
    static let ofTerminal: [Signal] = [.windowChange, .terminalStop]

    /// The signal mask as it was before, for the command to start with.
    public let originalMask: SignalSet
    let source: SignalDescriptor

    /// Blocks the signals, so that they can be read.
    ///
    /// - Parameter relaysTerminal: whether the command gets a terminal or a session of its own.
    /// - Throws: when no descriptor is free.
    public init(relaysTerminal: Bool = false) throws(SystemError) {
        let original = SignalSet.blocked
        // Some daemons start programs with SIGCHLD ignored: then the kernel would forget how children end.
        Signal.child.takeDefaultAction()
        // SIGPIPE and SIGXFSZ are only blocked. A message to a stderr that nobody reads must not end the launcher, nor
        // must a report that is larger than files may be (RLIMIT_FSIZE): both are told as errors of the write.
        let signals = Self.forwarded + [.terminate, .child] + (relaysTerminal ? Self.ofTerminal : [])
        SignalSet(signals + [.pipe, .fileTooLarge]).block()
        source = try SignalDescriptor(SignalSet(signals))
        originalMask = original
    }
}
