package import SandboxValues

/// A program to be started, and all that its process does between clone3 and exec.
package struct Program: Sendable {
    /// Paths to try in turn, as a search through `PATH` gives them.
    package var candidates: [ByteString]
    package var arguments: [ByteString]
    /// `NAME=value` each.
    package var environment: [ByteString]
    package var workingDirectory: ByteString?
    package var credentials: Credentials?
    /// Descriptors to place at 0, 1, 2…, with everything above closed; `nil` leaves all as they are.
    package var descriptors: [CInt]?
    package var closesAboveStandardError = false
    /// The terminal that the program runs on, in a session of its own: its peer becomes descriptors 0, 1 and 2, in
    /// place of `descriptors`.
    package var terminal: PseudoTerminal?
    package var startsSession = false
    /// What takes the place of the standard streams with these numbers; the other standard streams, which must be open,
    /// stay as they are.
    package var replacedStreams: [Int: SharedDescriptor] = [:]
    package var resetsOOMScore = false
    /// Whether the child gets a copy of the memory of the process that starts it, instead of sharing it until exec.
    package var copiesMemory = false
    /// The variable in `environment` that gets the program's own pid, as socket activation wants it (`LISTEN_PID`).
    package var variableWithOwnPID: String?
    /// By default none is blocked, whatever this process blocks: the program must be able to get a stop signal.
    package var signalMask = SignalSet()
    /// Whether signals that this process ignores stay ignored.
    package var keepsIgnoredSignals = false

    package init(candidates: [ByteString], arguments: [ByteString], environment: [ByteString]) {
        self.candidates = candidates
        self.arguments = arguments
        self.environment = environment
    }
}
