public import LinuxSystem
internal import SandboxValues

/// The signals that a launcher passes on to its command, read without handlers.
///
/// For programs that are a launcher and nothing else, such as `cgrun`: it blocks these signals in
/// the calling thread. Make it before anything else, and before there are other threads.
public final class SignalForwarder {
    /// Passed on to the command as they are. SIGTERM is a request to stop, and becomes the stop signal.
    static let forwarded: [Signal] = [.interrupt, .hangUp, .quit, .user1, .user2, .continue]

    /// With a terminal or a session of the command's own, also what the launcher's terminal tells nobody else.
    static let ofTerminal: [Signal] = [.windowChange, .terminalStop]

    /// The mask as it was before, for the command to start with.
    public let originalMask: SignalSet
    let source: SignalDescriptor

    /// Blocks them.
    ///
    /// - Parameter relaysTerminal: whether the command gets a terminal or a session of its own.
    /// - Throws: when there is no descriptor to be had.
    public init(relaysTerminal: Bool = false) throws(SystemError) {
        let original = SignalSet.blocked
        // Ignored, as some daemons hand it down, it would make the kernel forget how children end.
        Signal.child.takeDefaultAction()
        // These two are only blocked. A message to a stderr that nobody reads must not end the launcher, nor a report
        // that is larger than files may be for it (RLIMIT_FSIZE): both are told as errors of the write.
        let signals = Self.forwarded + [.terminate, .child] + (relaysTerminal ? Self.ofTerminal : [])
        SignalSet(signals + [.pipe, .fileTooLarge]).block()
        source = try SignalDescriptor(SignalSet(signals))
        originalMask = original
    }
}
