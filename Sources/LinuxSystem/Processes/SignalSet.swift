internal import CLinux
internal import Glibc
public import SandboxValues

extension Signal {
    /// Takes this signal, which must be blocked, if it has arrived.
    public func takePending() -> Bool {
        var set = SignalSet([self]).raw
        var now = timespec()
        return sigtimedwait(&set, nil, &now) == rawValue
    }

    /// Gives the signal its default action, even if this process was started with the signal ignored.
    package func takeDefaultAction() { _ = signal(rawValue, SIG_DFL) }
}

/// A set of signals, such as a signal mask.
public struct SignalSet: @unchecked Sendable {
    var raw = sigset_t()

    /// These signals, or none.
    public init(_ signals: [Signal] = []) {
        sigemptyset(&raw)
        for signal in signals { sigaddset(&raw, signal.rawValue) }
    }

    private init(filledBy fill: (UnsafeMutablePointer<sigset_t>) -> CInt) { _ = fill(&raw) }

    /// Every signal there is.
    public static var all: SignalSet { SignalSet { sigfillset($0) } }

    /// The calling thread's mask.
    public static var blocked: SignalSet { SignalSet { pthread_sigmask(SIG_BLOCK, nil, $0) } }

    /// Blocked signals that have arrived, for the calling thread or its process.
    package static var pending: SignalSet { SignalSet { sigpending($0) } }

    /// Whether a signal is in the set.
    public func contains(_ signal: Signal) -> Bool {
        var set = raw
        return sigismember(&set, signal.rawValue) == 1
    }

    /// Blocks exactly these signals in the calling thread.
    package func replaceMask() { changeMask(SIG_SETMASK) }

    /// Unblocks these signals in the calling thread.
    func unblock() { changeMask(SIG_UNBLOCK) }

    /// Blocks these signals in the calling thread, besides those that are blocked already.
    package func block() { changeMask(SIG_BLOCK) }

    private func changeMask(_ how: CInt) {
        var set = raw
        pthread_sigmask(how, &set, nil)
    }
}
