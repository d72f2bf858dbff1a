/// What became of a job, for programs. Missing facts are `nil` and say why in `unavailable`.
///
/// The JSON form is versioned by `schema`; units are in the names.
public struct Report: Sendable, Equatable, Codable {
    public var schema = 1
    public var jobID: String
    public var argv: [String]
    @Explicit public var cwd: String?
    public var uid: UInt32
    public var host: String
    @Explicit public var bootID: String?
    public var containment: Containment
    public var startedAt: String
    @Explicit public var endedAt: String?
    @Explicit public var wallSeconds: Double?

    public var result = Result.unknown
    @Explicit public var exitCode: Int32?
    @Explicit public var signal: SignalInfo?
    public var coreDumped = false
    public var cause = Cause.unknown
    public var confidence = Confidence.certain
    public var evidence: [Evidence] = []
    @Explicit public var launcherExitCode: Int32?
    /// Why the job did not start.
    @Explicit public var error: String?

    public var oomInTree = false
    public var straysKilled = false
    @Explicit public var escapeDetected: Bool?

    public var limits: LimitValues
    public var memory = Memory()
    public var pids = PIDs()
    public var cpu = CPU()
    @Explicit public var io: [DeviceIO]?
    public var pressure = PressureSet()
    public var termination = Termination()
    /// Processes that were left when the command had ended, and were killed.
    public var strays: [ProcessInfo] = []
    /// Processes that did not die from `cgroup.kill`.
    public var unkillable: [ProcessInfo] = []
    public var unavailable: [Unavailable] = []

    /// How the command ended.
    public enum Result: String, Sendable, Codable {
        case exited, signaled, dumped, unknown
        case notStarted = "not_started"
    }

    /// Why it ended.
    public enum Cause: String, Sendable, Codable, CaseIterable {
        case normal
        case nonzeroExit = "nonzero_exit"
        case signalForwarded = "signal_forwarded"
        case signalOther = "signal_other"
        case oomOwnLimit = "oom_own_limit"
        case oomAncestor = "oom_ancestor"
        case oomSystem = "oom_system"
        case oomd
        case timeoutWall = "timeout_wall"
        case timeoutCPU = "timeout_cpu"
        case cancelled
        case parentLost = "parent_lost"
        case launcherLost = "launcher_lost"
        case guardLost = "guard_lost"
        /// The job's scope was stopped from outside, or went with its manager.
        case unitStopped = "unit_stopped"
        case pidsLimit = "pids_limit"
        case setupError = "setup_error"
        case execError = "exec_error"
        case unknown
    }

    public enum Confidence: String, Sendable, Codable {
        case certain, likely, possible
    }

    /// A value that the cause was told from.
    public struct Evidence: Sendable, Equatable, Codable {
        public var source: String
        public var value: String
    }

    public struct Containment: Sendable, Equatable, Codable {
        public var manager: String
        public var managerReason: String
        public var requested: String
        /// `guarded`: own cgroup, guard outside of it, and what stands behind the guard.
        public var achieved: String
        /// Who ends the job when those before them in the list are lost.
        public var layers: [Layer] = []
        /// The job's scope.
        @Explicit public var unit: String?
        /// As systemd spells it, such as `257.9-1~deb13u1`.
        @Explicit public var systemdVersion: String?
        @Explicit public var cgroup: String?
        public var controllers: [String]
        /// `unified` or `hybrid`.
        @Explicit public var hierarchy: String?
        /// The command was placed in its cgroup by itself just before exec, because clone3 could not.
        public var joinedBeforeExec = false
        /// How often a guard died and was replaced.
        public var guardsReplaced = 0
    }

    public struct Layer: Sendable, Equatable, Codable {
        /// `launcher`, `guard`, `manager`, `init`, `sweep`.
        public var name: String
        public var detail: String
    }

    public struct SignalInfo: Sendable, Equatable, Codable {
        public var number: Int32
        public var name: String
    }

    public struct LimitValues: Sendable, Equatable, Codable {
        @Explicit public var memoryMaxBytes: UInt64?
        @Explicit public var memoryHighBytes: UInt64?
        @Explicit public var swapMaxBytes: UInt64?
        @Explicit public var pidsMax: Int?
        @Explicit public var cpuCores: Double?
        @Explicit public var cpuWeight: Int?
        @Explicit public var cpuset: String?
        @Explicit public var wallTimeoutSeconds: Double?
        @Explicit public var cpuTimeoutSeconds: Double?
    }

    public struct Memory: Sendable, Equatable, Codable {
        @Explicit public var peakBytes: UInt64?
        @Explicit public var swapPeakBytes: UInt64?
        @Explicit public var events: [String: UInt64]?
        @Explicit public var eventsLocal: [String: UInt64]?
    }

    public struct PIDs: Sendable, Equatable, Codable {
        @Explicit public var peak: UInt64?
        @Explicit public var refusedForks: UInt64?
    }

    public struct CPU: Sendable, Equatable, Codable {
        @Explicit public var usageSeconds: Double?
        @Explicit public var userSeconds: Double?
        @Explicit public var systemSeconds: Double?
        @Explicit public var throttledSeconds: Double?
    }

    public struct DeviceIO: Sendable, Equatable, Codable {
        public var device: String
        public var readBytes: UInt64
        public var writeBytes: UInt64
    }

    public struct PressureSet: Sendable, Equatable, Codable {
        @Explicit public var memory: Pressure?
        @Explicit public var cpu: Pressure?
        @Explicit public var io: Pressure?
    }

    public struct Pressure: Sendable, Equatable, Codable {
        public var someSeconds: Double
        @Explicit public var fullSeconds: Double?
    }

    public struct Termination: Sendable, Equatable, Codable {
        /// `timeout`, `cpu_timeout`, `caller` (a signal to cgrun), `parent_lost`, …; `nil`: nobody asked.
        @Explicit public var requestedBy: String?
        @Explicit public var signal: SignalInfo?
        @Explicit public var graceSeconds: Double?
        /// The grace was over, or there was none.
        public var escalated = false
        /// `cgroup.kill` was written while processes were left.
        public var cgroupKill = false
        /// From the command's end, or the kill, to an empty tree.
        @Explicit public var emptyAfterSeconds: Double?
    }

    public struct ProcessInfo: Sendable, Equatable, Codable {
        public var pid: Int32
        public var comm: String
    }

    public struct Unavailable: Sendable, Equatable, Codable {
        public var field: String
        public var reason: String
    }
}

/// An optional that is written as `null`, where the compiler's coding would leave it out.
@propertyWrapper
public struct Explicit<Value: Codable & Equatable & Sendable>: Sendable, Equatable, Codable {
    public var wrappedValue: Value?

    public init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        wrappedValue = container.decodeNil() ? nil : try container.decode(Value.self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
    }
}
