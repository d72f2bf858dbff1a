package import SandboxValues

/// A process as supervisord would start it: what the keys of its section say, with supervisor's defaults.
package struct SupervisorProcess {
    /// `autorestart`: after which ends supervisor starts the process again. `unexpected` is every exit code that is
    /// not in `exitcodes`, and every signal.
    package enum AutoRestart { case never, unexpected, always }

    /// `stdout_logfile`, `stderr_logfile`.
    package enum LogPlace: Equatable {
        /// `AUTO`: a file that supervisord names, in `childlogdir`.
        case automatic
        /// `NONE`: the output is lost.
        case none
        case syslog
        /// The path as it is in the configuration.
        case file(String)
    }

    /// What happens to one stream of output.
    package struct Log {
        package var place = LogPlace.automatic
        /// The size at which supervisor rotates the file; 0 for never.
        package var maximumBytes = 0
        /// How many old files supervisor keeps.
        package var backups = 0
        /// Whether syslog gets the output, be it besides the file.
        package var goesToSyslog = false
    }

    /// What supervisor names a process by.
    package struct ID: Hashable {
        package var group: String
        package var name: String
    }

    package var id: ID { ID(group: group, name: name) }
    /// `process_name`, expanded.
    package var name = ""
    /// The group's name; the program's for a program that is in no `[group:x]`.
    package var group: String
    /// The program's name: `x` in `[program:x]`.
    package var program: String
    /// The section's name: `program:x`.
    package var section: String
    /// The file that the section is in.
    package var file: String
    /// `command`, not yet split into words.
    package var command = ""
    package var directory: String?
    package var umask: UInt16?
    /// `priority`: processes with lower numbers start first and stop last.
    package var priority: Int
    /// `autostart`.
    package var startsAutomatically: Bool
    package var restarts: AutoRestart
    /// `startsecs`: how long the process has to live for its start to succeed.
    package var startSeconds: Int
    /// `startretries`: how many more times supervisor tries after a start that failed.
    package var startRetries: Int
    package var user: String?
    package var stopSignal: Signal
    /// `stopwaitsecs`: the time from the stop signal to SIGKILL.
    package var stopWaitSeconds: Int
    /// `stopasgroup`: whether the whole process group gets the stop signal.
    package var stopsGroup: Bool
    /// `killasgroup`: whether the whole process group gets SIGKILL; always where `stopsGroup` is true.
    package var killsGroup: Bool
    /// `exitcodes`: those that supervisor expects.
    package var exitCodes: [Int]
    /// `redirect_stderr`: whether standard error goes where standard output goes.
    package var redirectsErrors: Bool
    package var output = Log()
    package var errorOutput = Log()
    /// The variables of `[supervisord]`, then those of the program; a name that is in both has the program's value.
    package var environment: [(name: String, value: String)] = []
    package var socket: SupervisorSocket?
}

/// What `[fcgi-program:x]` listens on.
package struct SupervisorSocket: Equatable {
    /// An absolute path, or an address and port.
    package var address: String
    /// `socket_owner`: `USER` or `USER:GROUP`.
    package var owner: String?
    package var mode: UInt16?
    package var backlog: Int?
}

/// A `[group:x]`, or the group that a program without one forms by itself.
package struct SupervisorGroup {
    package var name: String
    /// Groups with lower numbers start first and stop last.
    package var priority: Int
    /// Whether the configuration has a section `[group:x]` for it.
    package var isExplicit: Bool
    /// All processes of all programs in the group, in the order of their starts.
    package var processes: [SupervisorProcess]
}

/// What `[supervisord]` says about every process that does not say otherwise itself.
package struct SupervisorDefaults {
    package var environment: [(name: String, value: String)] = []
    package var user: String?
    package var umask: UInt16?
    package var directory: String?
    /// `minfds`: how many files a process may have open; `nil` for `usualOpenFiles`, which services have anyway.
    package var openFiles: Int?

    /// How many files a process may have open by supervisor's default, and by systemd's.
    package static let usualOpenFiles = 1024
}
