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

    /// Undoes what was inherited: the signal is neither ignored nor handled from here on.
    package func takeDefaultAction() { _ = signal(rawValue, SIG_DFL) }
}

/// A set of signals, as masks are made of.
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

    /// Whether a signal is in it.
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

/// A signalfd(2): signals as something to wait for, without handlers.
package struct SignalDescriptor: ~Copyable {
    package struct Received: Sendable {
        package var signal: Signal
        /// Sent by the kernel on its own account: a Ctrl-C, a terminal that hung up.
        package var isFromKernel: Bool
        /// The sender's pid, 0 for the kernel.
        package var sender: ProcessID
    }

    package let descriptor: Descriptor

    /// The signals must be blocked, or they still take their default action.
    package init(_ signals: SignalSet) throws(SystemError) {
        var set = signals.raw
        descriptor = Descriptor(
            owning: try checkErrno(
                CInt(signalfd(-1, &set, CInt(SFD_CLOEXEC) | CInt(SFD_NONBLOCK))),
                "signalfd"))
    }

    /// The next pending signal, or `nil`.
    package func next() -> Received? {
        var info = signalfd_siginfo()
        guard clinux_read(descriptor.rawValue, &info, MemoryLayout<signalfd_siginfo>.size) > 0 else {
            return nil
        }
        return Received(
            signal: Signal(rawValue: CInt(info.ssi_signo)),
            isFromKernel: info.ssi_code == SI_KERNEL_CODE, sender: ProcessID(info.ssi_pid))
    }
}

/// SI_KERNEL, an enumeration constant that changes its Swift type between headers.
private let SI_KERNEL_CODE: Int32 = 0x80
