internal import CLinux
internal import Glibc

/// A signal by number, with its name without `SIG`.
public struct Signal: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public var rawValue: CInt

    public init(rawValue: CInt) { self.rawValue = rawValue }

    /// `SIGHUP`.
    public static let hangUp = Signal(rawValue: SIGHUP)
    /// `SIGINT`.
    public static let interrupt = Signal(rawValue: SIGINT)
    /// `SIGQUIT`.
    public static let quit = Signal(rawValue: SIGQUIT)
    /// `SIGABRT`.
    public static let abort = Signal(rawValue: SIGABRT)
    /// `SIGKILL`, which cannot be handled.
    public static let kill = Signal(rawValue: SIGKILL)
    /// `SIGTERM`.
    public static let terminate = Signal(rawValue: SIGTERM)
    /// `SIGUSR1`.
    public static let user1 = Signal(rawValue: SIGUSR1)
    /// `SIGUSR2`.
    public static let user2 = Signal(rawValue: SIGUSR2)
    /// `SIGPIPE`.
    public static let pipe = Signal(rawValue: SIGPIPE)
    /// `SIGCHLD`.
    public static let child = Signal(rawValue: SIGCHLD)
    /// `SIGCONT`.
    public static let `continue` = Signal(rawValue: SIGCONT)
    /// `SIGSTOP`, which cannot be handled.
    public static let stop = Signal(rawValue: SIGSTOP)
    /// `SIGTSTP`.
    public static let terminalStop = Signal(rawValue: SIGTSTP)
    /// `SIGTTIN`.
    public static let terminalInput = Signal(rawValue: SIGTTIN)
    /// `SIGTTOU`.
    public static let terminalOutput = Signal(rawValue: SIGTTOU)
    /// `SIGWINCH`.
    public static let windowChange = Signal(rawValue: SIGWINCH)

    private static let names: [(CInt, String)] = [
        (SIGHUP, "HUP"), (SIGINT, "INT"), (SIGQUIT, "QUIT"), (SIGILL, "ILL"), (SIGTRAP, "TRAP"),
        (SIGABRT, "ABRT"), (SIGBUS, "BUS"), (SIGFPE, "FPE"), (SIGKILL, "KILL"), (SIGUSR1, "USR1"),
        (SIGSEGV, "SEGV"), (SIGUSR2, "USR2"), (SIGPIPE, "PIPE"), (SIGALRM, "ALRM"), (SIGTERM, "TERM"),
        (16, "STKFLT"), (SIGCHLD, "CHLD"), (SIGCONT, "CONT"), (SIGSTOP, "STOP"), (SIGTSTP, "TSTP"),
        (SIGTTIN, "TTIN"), (SIGTTOU, "TTOU"), (SIGURG, "URG"), (SIGXCPU, "XCPU"), (SIGXFSZ, "XFSZ"),
        (SIGVTALRM, "VTALRM"), (SIGPROF, "PROF"), (SIGWINCH, "WINCH"), (SIGIO, "IO"), (SIGPWR, "PWR"),
        (SIGSYS, "SYS"),
    ]

    /// First of the real-time signals that programs may use; glibc keeps 32 and 33.
    private static let realTimeMinimum: CInt = 34
    private static let realTimeMaximum: CInt = 64

    /// Reads `TERM`, `SIGTERM`, `15` or `RTMIN+2`, in any case; `nil` for anything else.
    public init?(name: String) {
        // Swift would take a plus sign for part of a number.
        guard !name.hasPrefix("+"), !name.contains("++") else { return nil }
        if let number = CInt(name) {
            guard (1...Self.realTimeMaximum).contains(number), number != 32, number != 33 else { return nil }
            self.init(rawValue: number)
            return
        }
        var name = name.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if let known = Self.names.first(where: { $0.1 == name }) {
            self.init(rawValue: known.0)
        } else if name == "RTMIN" {
            self.init(rawValue: Self.realTimeMinimum)
        } else if name.hasPrefix("RTMIN+"), let offset = CInt(name.dropFirst(6)),
            (0...Self.realTimeMaximum - Self.realTimeMinimum).contains(offset)
        {
            self.init(rawValue: Self.realTimeMinimum + offset)
        } else {
            return nil
        }
    }

    /// Those that ask a program to end.
    public static let requestsToEnd: [Signal] = [.interrupt, .terminate, .hangUp, .quit]

    /// Takes this signal, which must be blocked, if it has arrived.
    public func takePending() -> Bool {
        var set = SignalSet([self]).raw
        var now = timespec()
        return sigtimedwait(&set, nil, &now) == rawValue
    }

    /// Undoes what was inherited: the signal is neither ignored nor handled from here on.
    package func takeDefaultAction() { _ = signal(rawValue, SIG_DFL) }

    /// `SIGTERM`, `SIGRTMIN+2`.
    public var description: String {
        if let known = Self.names.first(where: { $0.0 == rawValue }) { return "SIG" + known.1 }
        let offset = rawValue - Self.realTimeMinimum
        return offset > 0 ? "SIGRTMIN+\(offset)" : offset == 0 ? "SIGRTMIN" : "signal \(rawValue)"
    }
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
