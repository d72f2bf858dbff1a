internal import SandboxValues

/// A process as supervisord would start it: what the keys of its section say, with supervisor's defaults.
struct SupervisorProcess {
    /// `autorestart`: after which ends supervisor starts the process again. `unexpected` is every exit code that is
    /// not in `exitcodes`, and every signal.
    enum AutoRestart { case never, unexpected, always }

    /// `stdout_logfile`, `stderr_logfile`.
    enum LogPlace: Equatable {
        /// `AUTO`: a file that supervisord names, in `childlogdir`.
        case automatic
        /// `NONE`: the output is lost.
        case none
        case syslog
        /// The path as it is in the configuration.
        case file(String)
    }

    /// What happens to one stream of output.
    struct Log {
        var place = LogPlace.automatic
        /// The size at which supervisor rotates the file; 0 for never.
        var maximumBytes = 0
        /// How many old files supervisor keeps.
        var backups = 0
        /// Whether syslog gets the output, be it besides the file.
        var goesToSyslog = false
    }

    /// What supervisor names a process by.
    struct ID: Hashable {
        var group: String
        var name: String
    }

    var id: ID { ID(group: group, name: name) }
    /// `process_name`, expanded.
    var name = ""
    /// The group's name; the program's for a program that is in no `[group:x]`.
    var group: String
    /// The program's name: `x` in `[program:x]`.
    var program: String
    /// The section's name: `program:x`.
    var section: String
    /// The file that the section is in.
    var file: String
    /// `command`, not yet split into words.
    var command = ""
    var directory: String?
    var umask: UInt16?
    /// `priority`: processes with lower numbers start first and stop last.
    var priority: Int
    /// `autostart`.
    var startsAutomatically: Bool
    var restarts: AutoRestart
    /// `startsecs`: how long the process has to live for its start to succeed.
    var startSeconds: Int
    /// `startretries`: how many more times supervisor tries after a start that failed.
    var startRetries: Int
    var user: String?
    var stopSignal: Signal
    /// `stopwaitsecs`: the time from the stop signal to SIGKILL.
    var stopWaitSeconds: Int
    /// `stopasgroup`: whether the whole process group gets the stop signal.
    var stopsGroup: Bool
    /// `killasgroup`: whether the whole process group gets SIGKILL; always where `stopsGroup` is true.
    var killsGroup: Bool
    /// `exitcodes`: those that supervisor expects.
    var exitCodes: [Int]
    /// `redirect_stderr`: whether standard error goes where standard output goes.
    var redirectsErrors: Bool
    var output = Log()
    var errorOutput = Log()
    /// The variables of `[supervisord]`, then those of the program; a name that is in both has the program's value.
    var environment: [(name: String, value: String)] = []
    var socket: SupervisorSocket?
}

/// What `[fcgi-program:x]` listens on.
struct SupervisorSocket: Equatable {
    /// An absolute path, or an address and port.
    var address: String
    /// `socket_owner`: `USER` or `USER:GROUP`.
    var owner: String?
    var mode: UInt16?
    var backlog: Int?
}

/// A `[group:x]`, or the group that a program without one forms by itself.
struct SupervisorGroup {
    var name: String
    /// Groups with lower numbers start first and stop last.
    var priority: Int
    /// Whether the configuration has a section `[group:x]` for it.
    var isExplicit: Bool
    /// All processes of all programs in the group, in the order of their starts.
    var processes: [SupervisorProcess]
}

/// What `[supervisord]` says about every process that does not say otherwise itself.
struct SupervisorDefaults {
    var environment: [(name: String, value: String)] = []
    var user: String?
    var umask: UInt16?
    var directory: String?
    /// `minfds`: how many files a process may have open; `nil` for `usualOpenFiles`, which services have anyway.
    var openFiles: Int?

    /// How many files a process may have open by supervisor's default, and by systemd's.
    static let usualOpenFiles = 1024
}
