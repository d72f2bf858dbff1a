internal import SandboxValues

/// A process as supervisord would start it.
struct SupervisorProcess {
    enum AutoRestart { case never, unexpected, always }

    enum LogPlace: Equatable {
        case automatic
        case none
        case syslog
        case file(String)
    }

    struct Log {
        var place: LogPlace
        var maximumBytes: Int
        var backups: Int
        var goesToSyslog: Bool
    }

    var name: String
    var group: String
    var program: String
    var section: String
    var file: String
    var command: String
    var directory: String?
    var umask: UInt16?
    var priority: Int
    var startsAutomatically: Bool
    var restarts: AutoRestart
    var startSeconds: Int
    var startRetries: Int
    var user: String?
    var stopSignal: Signal
    var stopWaitSeconds: Int
    var stopsGroup: Bool
    var killsGroup: Bool
    var exitCodes: [Int]
    var redirectsErrors: Bool
    var output: Log
    var errorOutput: Log
    /// `[supervisord]`'s variables, then the program's.
    var environment: [(name: String, value: String)]
    var socket: SupervisorSocket?
}

/// What `[fcgi-program:x]` listens on.
struct SupervisorSocket: Equatable {
    var address: String
    var owner: String?
    var mode: UInt16?
    var backlog: Int?
}

/// `[group:x]`, or the group that a program is of itself.
struct SupervisorGroup {
    var name: String
    var priority: Int
    /// Written as `[group:x]`.
    var isExplicit: Bool
    var processes: [SupervisorProcess]
}

/// What holds for every process, from `[supervisord]`.
struct SupervisorDefaults {
    var environment: [(name: String, value: String)] = []
    var user: String?
    var umask: UInt16?
    var directory: String?
    /// `nil` for what a service has without being asked.
    var openFiles: Int?

    /// Both supervisor's default and systemd's.
    static let usualOpenFiles = 1024
}
