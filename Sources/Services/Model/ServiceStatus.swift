public import CgroupSandbox

/// Where a service stands.
public enum ServiceState: String, Sendable, Codable, CaseIterable {
    /// It was stopped on request, or never started since the machine was.
    case stopped
    /// Its command runs, and is not ready yet.
    case starting
    /// Its command runs and is ready.
    case running
    /// It has failed, and waits to be started again.
    case backoff
    /// It is being stopped.
    case stopping
    /// Its command has ended by itself, and is not to be started again.
    case exited
    /// It has failed, and is not started again.
    case failed
    /// Its command runs, but nobody looks after it: keeper and guard are gone.
    case orphaned

    /// Whether processes of the service may run.
    public var isActive: Bool { self == .starting || self == .running || self == .stopping || self == .orphaned }
    /// Whether nothing more happens unless somebody asks for it.
    public var isSettled: Bool { self == .stopped || self == .exited || self == .failed }
}

/// A service as it is now, for programs.
public struct ServiceStatus: Sendable, Equatable, Codable {
    /// The version of the JSON form. It grows when a field changes its meaning or goes, not when one is added.
    public var schema = 1
    /// The service's name.
    public var name: String
    /// Where it stands.
    public var state = ServiceState.stopped
    /// Whether it has been ready since its last start.
    public var ready = false
    /// Since when it has been in this state: RFC 3339, in UTC.
    @Explicit public var since: String?
    /// The main process.
    @Explicit public var pid: Int32?
    /// How often the command was started since the service was, by `start`.
    public var starts = 0
    /// How often the command was started again by itself since then.
    public var restarts = 0
    /// The command and its first arguments, shortened where they are very long; bytes that are not UTF-8 are shown as
    /// U+FFFD.
    public var argv: [String] = []
    /// Why it stands where it does, in one line, where somebody may ask.
    @Explicit public var reason: String?
    /// When the command is started again, in `backoff`: RFC 3339, in UTC.
    @Explicit public var nextStart: String?
    /// How the command ended the last time.
    @Explicit public var lastDeath: Death?
    /// How often the service was asked to reload, and has done so or failed.
    public var reloads = 0
    /// Why the last reload failed; `nil`: it did not.
    @Explicit public var reloadFailure: String?
    /// The processes of the service, of which at most 100 are listed.
    public var pids: [Int32] = []
    /// How many processes and threads there are; `nil` without the controller.
    @Explicit public var tasks: UInt64?
    /// What the tree uses; `nil` without the controller.
    @Explicit public var memoryBytes: UInt64?
    /// What the tree may use; `nil`: no limit.
    @Explicit public var memoryLimitBytes: UInt64?
    /// The cgroup as an absolute path, while there is one.
    @Explicit public var cgroup: String?
    /// The file with the output.
    public var log: String
    /// The process that looks after the service.
    @Explicit public var keeper: Int32?
    /// The process that starts another keeper if that one is lost.
    @Explicit public var `guard`: Int32?

    static let mostArguments = 64

    init(name: String, log: String) {
        self.name = name
        self.log = log
    }

    /// How a command ended.
    public struct Death: Sendable, Equatable, Codable {
        /// When: RFC 3339, in UTC.
        public var at: String
        /// What happened, in one line.
        public var text: String
        /// As in a report.
        public var cause: String
        /// The exit status.
        @Explicit public var exitCode: Int32?
        /// The signal's name.
        @Explicit public var signal: String?
        /// The processes that had to be killed at a stop, since they had not ended in time.
        public var blocking: [Report.ProcessInfo] = []
        /// The processes that did not die even then.
        public var unkillable: [Report.ProcessInfo] = []

        enum CodingKeys: String, CodingKey {
            case at, text, cause, signal, blocking, unkillable
            case exitCode = "exit_code"
        }
    }

    enum CodingKeys: String, CodingKey {
        case schema, name, state, ready, since, pid, starts, restarts, argv, reason, reloads, pids, tasks, cgroup, log
        case keeper, `guard`
        case reloadFailure = "reload_failure"
        case nextStart = "next_start"
        case lastDeath = "last_death"
        case memoryBytes = "memory_bytes"
        case memoryLimitBytes = "memory_limit_bytes"
    }
}

extension String {
    /// A status must fit into one message.
    var shortened: String { utf8.count <= 512 ? self : String(prefix(128)) + "…" }
}
