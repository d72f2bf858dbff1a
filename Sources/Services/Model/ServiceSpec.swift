public import CgroupSandbox
internal import Cgroups
public import SandboxValues

/// A command that is kept running under a name.
public struct ServiceSpec: Sendable {
    /// The name, which no other service of the same user has.
    public var name: ServiceName
    /// The command, its limits and how it is stopped.
    public var launch: LaunchSpec
    /// When the command is started again.
    public var restart = RestartRules()
    /// How to tell that the service is ready.
    public var readiness = Readiness.delay(.milliseconds(500))
    /// How long the service may take to be ready, before it is stopped as a failure.
    public var readyTimeout = Duration.seconds(60)
    /// How long the service, once it is ready, may give no sign of life before it is stopped as a failure; `nil`: for ever.
    /// A sign of life is `WATCHDOG=1`, as sd_notify(3) sends it.
    public var watchdog: Duration?
    /// Where the command's output goes.
    public var log = LogRules()
    /// What `reload` does.
    public var reload = Reload.signal(.hangUp)
    /// A file that is to have the pid of the main process in it while that runs, for other programs; `nil`: none. It is
    /// never read.
    public var pidFile: String?

    /// A service with the default rules.
    public init(_ name: ServiceName, _ launch: LaunchSpec) {
        self.name = name
        self.launch = launch
    }
}

/// When a command that has ended is started again, and when no more.
public struct RestartRules: Sendable, Equatable {
    /// After which ends the command is started again.
    public enum Policy: String, Sendable, CaseIterable {
        /// Never.
        case no
        /// After a failure: a status other than 0, a signal, a limit, readiness that did not come in time, or an end
        /// that nobody saw.
        case onFailure = "on-failure"
        /// After every end but a stop.
        case always
    }

    /// After which ends.
    public var policy = Policy.onFailure
    /// The pause before the first restart. It doubles with each further one.
    public var firstPause = Duration.seconds(1)
    /// The longest pause.
    public var longestPause = Duration.seconds(60)
    /// How long the command must have run for the pauses to begin anew.
    public var healthyAfter = Duration.seconds(60)
    /// How many failures within `giveUpWithin` are the last; `nil`: never given up.
    public var giveUpAfter: Int? = 10
    /// The window of `giveUpAfter`, which slides.
    public var giveUpWithin = Duration.seconds(600)

    /// The default rules.
    public init() {}
}

/// How to tell that a service is ready.
public enum Readiness: Sendable, Equatable {
    /// It has run for so long.
    case delay(Duration)
    /// Something accepts connections at this numeric address and port.
    case tcp(address: String, port: UInt16)
    /// It has sent `READY=1`, as sd_notify(3) does.
    case notify
    /// It has written this text to its output.
    case log(String)
    /// It answers a request by HTTP with a status from 200 to 399.
    case http(HTTPRequest)
    /// This command exits with 0. It gets the environment, the directory and the user of the service, and a cgroup of its
    /// own, and is killed if it takes longer than 10 s.
    case exec([ByteString])

    /// A request without a body.
    public struct HTTPRequest: Sendable, Equatable {
        /// A numeric address.
        public var address: String
        /// The port.
        public var port: UInt16
        /// What stands in the field `Host`.
        public var host: String
        /// The path, and what follows a question mark.
        public var path: String

        package init(address: String, port: UInt16, host: String, path: String) {
            (self.address, self.port, self.host, self.path) = (address, port, host, path)
        }
    }
}

/// How a service is asked to read its configuration anew.
public enum Reload: Sendable, Equatable {
    /// The main process gets this signal.
    case signal(Signal)
    /// This command is run, with the environment, the directory and the user of the service, and in a cgroup of its own.
    /// It fails if it takes longer than 60 s.
    case command([ByteString])
}

/// How a service's output is kept.
public struct LogRules: Sendable, Equatable {
    /// The file; `nil`: `log` in the service's directory.
    public var path: String?
    /// Whether systemd's journal gets the output, and no file: then `path`, `longest` and `kept` mean nothing.
    public var isJournal = false
    /// From how many bytes on the file is set aside as `FILE.1`, at the end of a line.
    public var longest: UInt64 = 16 << 20
    /// How many files that were set aside are kept.
    public var kept = 3

    /// What stands for the journal where a log is named. Files are named by absolute paths there.
    package static let journal = "journal"
    /// What the journal calls a service's lines by.
    package static func journalIdentifier(of name: ServiceName) -> String { JobName.service(name.description) }

    /// The default rules.
    public init() {}
}
