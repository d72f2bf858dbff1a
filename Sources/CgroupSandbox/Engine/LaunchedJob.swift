package import Cgroups
public import LinuxSystem
internal import SandboxValues

/// A running job: a command in a cgroup of its own, with a guard that ends it if this process cannot.
///
/// The blocking core: launch, supervise, finish, from one thread. Nothing is left of a job once
/// `finish` returned. `run` and `Job` are the same for concurrent programs.
public struct LaunchedJob: ~Copyable, Sendable {
    /// The job's own number, as in its cgroup's name and its report.
    public let id: String
    /// What was asked for.
    public let spec: JobSpec
    let cgroup: JobCgroup
    let main: ProcessDescriptor
    let guardian: JobGuard
    /// What the guard knows this job by.
    let number: UInt64
    /// Whether the guard is this job's alone, and ends with it.
    let ownsGuard: Bool
    let parent: ParentWatch?
    let joinedLate: Bool
    /// The scope that the job's cgroup is in, where systemd made one for it.
    var scope: JobScope?
    /// Whether the command leads a session of its own that has no terminal, to be kept from this process's.
    let isApart: Bool
    /// Whether it reads from that terminal nevertheless.
    let readsTerminal: Bool
    /// The command's own, if it was to have one. `supervise` hands it to a relay, which may hang up.
    public internal(set) var terminal: PseudoTerminal?
    /// What dead launchers had left beside this job, and was removed before it started.
    package let swept: [Sweep.Leftover]
    var state: State
    var report: Report

    /// What happened so far.
    struct State: Sendable {
        /// Before the command could run, however late this process gets on with it.
        let startedAt: BootTime
        var status: ExitStatus?
        var stop: Stop?
        var signals = SignalLog()
        /// The command was stopped from here, for a key.
        var hasStoppedCommand = false
        var killedAt: BootTime?
        var endedAt: BootTime?

        init(startedAt: BootTime) { self.startedAt = startedAt }
    }

    /// The command's pid.
    public var pid: ProcessID { main.pid }
    /// The pid of the guard that looks after the job at the moment.
    public var guardPID: ProcessID? { guardian.pid }
    /// The job's cgroup as an absolute path.
    public var cgroupPath: String { cgroup.path }

    /// Starts a job. When this returns, the command runs inside its cgroup, every limit has been
    /// read back, and a guard holds what it needs to kill it.
    ///
    /// - Parameters:
    ///   - prepared: from `PreparedJob`, made from the specification.
    ///   - parent: the process whose loss ends the job; `nil` for none.
    /// - Throws: why not. Nothing is left behind then.
    public static func launch(
        _ prepared: consuming PreparedJob, parent: ParentWatch? = nil
    ) throws(LaunchError) -> LaunchedJob {
        try launch(prepared, parent: parent, recovery: nil)
    }

    /// - Parameter recovery: what the guard executes after a loss.
    package static func launch(
        _ prepared: consuming PreparedJob, parent: ParentWatch?, recovery: LossRecovery?
    ) throws(LaunchError) -> LaunchedJob {
        try prepared.launch(PreparedJob.Surroundings(parent: parent, recovery: recovery))
    }
}
