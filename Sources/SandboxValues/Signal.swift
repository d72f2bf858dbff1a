/// A signal by its number on Linux, which is the same on all processors that Swift runs on.
public struct Signal: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public var rawValue: CInt

    public init(rawValue: CInt) { self.rawValue = rawValue }

    /// `SIGHUP`.
    public static let hangUp = Signal(rawValue: 1)
    /// `SIGINT`.
    public static let interrupt = Signal(rawValue: 2)
    /// `SIGQUIT`.
    public static let quit = Signal(rawValue: 3)
    /// `SIGABRT`.
    public static let abort = Signal(rawValue: 6)
    /// `SIGKILL`, which cannot be handled.
    public static let kill = Signal(rawValue: 9)
    /// `SIGTERM`.
    public static let terminate = Signal(rawValue: 15)
    /// `SIGUSR1`.
    public static let user1 = Signal(rawValue: 10)
    /// `SIGUSR2`.
    public static let user2 = Signal(rawValue: 12)
    /// `SIGPIPE`.
    public static let pipe = Signal(rawValue: 13)
    /// `SIGCHLD`.
    public static let child = Signal(rawValue: 17)
    /// `SIGCONT`.
    public static let `continue` = Signal(rawValue: 18)
    /// `SIGSTOP`, which cannot be handled.
    public static let stop = Signal(rawValue: 19)
    /// `SIGTSTP`.
    public static let terminalStop = Signal(rawValue: 20)
    /// `SIGTTIN`.
    public static let terminalInput = Signal(rawValue: 21)
    /// `SIGTTOU`.
    public static let terminalOutput = Signal(rawValue: 22)
    /// `SIGXCPU`.
    public static let cpuTimeUsed = Signal(rawValue: 24)
    /// `SIGXFSZ`.
    public static let fileTooLarge = Signal(rawValue: 25)
    /// `SIGWINCH`.
    public static let windowChange = Signal(rawValue: 28)

    private static let names: [(CInt, String)] = [
        (1, "HUP"), (2, "INT"), (3, "QUIT"), (4, "ILL"), (5, "TRAP"),
        (6, "ABRT"), (7, "BUS"), (8, "FPE"), (9, "KILL"), (10, "USR1"),
        (11, "SEGV"), (12, "USR2"), (13, "PIPE"), (14, "ALRM"), (15, "TERM"),
        (16, "STKFLT"), (17, "CHLD"), (18, "CONT"), (19, "STOP"), (20, "TSTP"),
        (21, "TTIN"), (22, "TTOU"), (23, "URG"), (24, "XCPU"), (25, "XFSZ"),
        (26, "VTALRM"), (27, "PROF"), (28, "WINCH"), (29, "IO"), (30, "PWR"),
        (31, "SYS"),
    ]

    /// The first real-time signal that programs may use: glibc keeps 32 and 33 for itself.
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

    /// All signals but the two that glibc keeps for itself.
    package static var all: [Signal] {
        (1...realTimeMaximum).filter { $0 < 32 || $0 >= realTimeMinimum }.map { Signal(rawValue: $0) }
    }

    /// `SIGILL`, `SIGTRAP`, `SIGBUS`, `SIGFPE`, `SIGSEGV` and `SIGSYS`, by which the kernel ends a program that did what
    /// it cannot.
    package static let faults = [4, 5, 7, 8, 11, 31].map { Signal(rawValue: $0) }

    /// The signals that ask a program to end.
    public static let requestsToEnd: [Signal] = [.interrupt, .terminate, .hangUp, .quit]

    /// `SIGTERM`, `SIGRTMIN+2`.
    public var description: String {
        if let known = Self.names.first(where: { $0.0 == rawValue }) { return "SIG" + known.1 }
        let offset = rawValue - Self.realTimeMinimum
        return offset > 0 ? "SIGRTMIN+\(offset)" : offset == 0 ? "SIGRTMIN" : "signal \(rawValue)"
    }
}
