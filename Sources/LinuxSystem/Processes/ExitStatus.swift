public import SandboxValues

/// How a process ended, as its parent learns it.
public enum ExitStatus: Equatable, Sendable {
    /// By itself, with this number from 0 to 255.
    case exited(code: CInt)
    /// By this signal.
    case signaled(Signal, coreDumped: Bool)
}
