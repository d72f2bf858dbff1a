internal import Cgroups
public import LinuxSystem
public import SandboxValues

/// What to run, within what limits, and how to end it.
public struct JobSpec: Sendable {
    /// The command and its arguments, byte for byte. A command without `/` is looked up in `PATH`.
    public var arguments: [ByteString]
    /// Assignments `NAME=value`. `CGRUN_JOB_ID` is added.
    public var environment: [ByteString]
    /// Where the command starts; `nil`: in this program's working directory.
    public var workingDirectory: ByteString?
    /// The user and the groups of the command; `nil`: those of this program. Where this program has a terminal, another
    /// user's command gets a session of its own, so that it cannot type into that terminal. Ctrl-C there reaches the
    /// command only if this program passes it on. In the background, `/dev/null` replaces a terminal as standard input.
    public var credentials: Credentials?
    /// A pseudo-terminal for the command, as its standard streams and as the controlling terminal of its session;
    /// `nil`: none.
    public var terminal: PseudoTerminal.Settings?
    /// Whether the command ignores the signals that this program ignores, as under `nohup`. `false` suits servers,
    /// which ignore SIGTERM, SIGINT and SIGPIPE to read them in other ways. Real-time signals stay ignored in any case.
    public var keepsIgnoredSignals = false

    /// What the whole tree may use. A limit that cannot be enforced is an error at the start, and never a warning.
    public var limits = Limits()
    /// How long the job may run, in wall clock time with suspend included; then it is stopped.
    public var timeout: Duration?
    /// How much CPU time the whole tree may use; then the job is stopped. The kernel does not enforce this limit: this
    /// program reads the CPU time, often enough that the job exceeds it by little.
    public var cpuTimeout: Duration?
    /// The first signal at a stop or a timeout.
    public var stopSignal = Signal.terminate
    /// How long after the stop signal the whole tree is killed (`cgroup.kill`); zero: it is killed at once.
    public var grace = Duration.seconds(5)
    /// Who gets the stop signal, and time to act on it.
    public var killMode = KillMode.controlGroup
    /// What becomes of processes that are left when the command has ended, and not at a stop with `.controlGroup`.
    public var strays = StrayPolicy.kill
    /// Whether the job goes on once the command has ended by itself, until the whole tree has. The time limits hold for
    /// that, too.
    public var waitsForAll = false
    /// The cgroup to make the job's cgroup in, as in `/proc/PID/cgroup`; `nil`: the scope of `HostScope.enter`, or this
    /// program's own cgroup. An error where systemd makes a scope for the job.
    public var cgroupParent: String?
    /// Whether an OOM kill anywhere in the tree fails a job whose command exits with 0: `JobResult.isSuccess` is false
    /// then, and `Report.launcherExitCode` is 137.
    public var failsOnOOM = false

    /// - Parameter arguments: at least the command. The environment is this program's.
    public init(_ arguments: [ByteString]) {
        self.arguments = arguments
        environment = ThisProcess.environment
    }

    /// Sets an environment variable (`NAME=value`), in place of any of the same name.
    public mutating func setEnvironment(_ assignment: ByteString) {
        let prefix = assignment.bytes.prefix { $0 != UInt8(ascii: "=") } + [UInt8(ascii: "=")]
        environment.removeAll { $0.bytes.starts(with: prefix) }
        environment.append(assignment)
    }

    /// - Throws: when there is no command, or a limit that means nothing.
    func check() throws(LaunchError) {
        guard !arguments.isEmpty else {
            throw LaunchError(.invalid, "there is no command to run", remedy: "give at least its name")
        }
        try limits.check()
    }

    /// Who is stopped first, as `KillMode=` of systemd.kill(5) has it.
    public enum KillMode: String, Sendable, CaseIterable {
        /// Every process of the tree gets the stop signal, and all of them have the grace. This is what timeout(1), Ctrl-C
        /// and `systemctl stop` do.
        case controlGroup = "control-group"
        /// The command alone gets the stop signal and the grace: for one that ends its children in its own way.
        case mixed
    }

    /// What becomes of processes that are left when the command has ended.
    public enum StrayPolicy: String, Sendable, CaseIterable {
        /// They are killed at once.
        case kill
        /// They get the stop signal, and what is left of the grace, or all of it where the command ended by itself.
        case terminate = "term"
    }

    func environmentValue(_ name: String) -> ArraySlice<UInt8>? {
        let prefix = Array(name.utf8) + [UInt8(ascii: "=")]
        return environment.first { $0.bytes.starts(with: prefix) }?.bytes.dropFirst(prefix.count)
    }
}

/// A job with the options of a launcher that runs this job and nothing else, such as `cgrun`.
public struct LaunchSpec: Sendable {
    /// The job, as any program can specify it.
    public var job: JobSpec
    /// Whether the job dies when the process that started this one is gone.
    public var diesWithParent = true
    /// Who makes the job's cgroup.
    public var manager = ManagerChoice.auto
    /// How systemd names and places the job's scope. Any option here asks for systemd.
    public var unit = UnitOptions()
    /// Whether the job gets none of this program's descriptors above 2.
    public var closesDescriptors = false

    /// A job whose manager is `auto`, and which dies with the process that started this one.
    public init(_ job: JobSpec) { self.job = job }
}

extension Limits {
    func check() throws(LaunchError) {
        if let nonsense { throw LaunchError(.invalid, nonsense) }
    }
}
