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

    /// Every signal there is.
    public static var all: SignalSet {
        var set = SignalSet()
        sigfillset(&set.raw)
        return set
    }

    /// The calling thread's mask.
    public static var blocked: SignalSet {
        var set = SignalSet()
        pthread_sigmask(SIG_BLOCK, nil, &set.raw)
        return set
    }

    /// Blocked signals that have arrived, for the calling thread or its process.
    package static var pending: SignalSet {
        var set = SignalSet()
        sigpending(&set.raw)
        return set
    }

    /// Whether a signal is in the set.
    public func contains(_ signal: Signal) -> Bool {
        var set = raw
        return sigismember(&set, signal.rawValue) == 1
    }

    /// Blocks exactly these signals in the calling thread.
    package func replaceMask() {
        var set = raw
        pthread_sigmask(SIG_SETMASK, &set, nil)
    }

    /// Unblocks these signals in the calling thread.
    func unblock() {
        var set = raw
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
    }

    /// Blocks these signals in the calling thread, besides those that are blocked already.
    package func block() {
        var set = raw
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }
}
