internal import Cgroups
public import LinuxSystem
public import SandboxValues

/// What to run, within what limits, and how to end it.
public struct JobSpec: Sendable {
    /// The command and its arguments, byte for byte. A command without `/` is looked up in `PATH`.
    public var arguments: [ByteString]
    /// `NAME=value` each. `CGRUN_JOB_ID` is added.
    public var environment: [ByteString]
    /// `nil` keeps the caller's.
    public var workingDirectory: ByteString?
    /// `nil` keeps the caller's. Where this program has a terminal, another user's command leads a session of its
    /// own, with `terminal` or without any: it cannot type into this program's, and Ctrl-C there does not reach it
    /// unless it is passed on. In the background, a terminal as its standard input becomes `/dev/null`.
    public var credentials: Credentials?
    /// A pseudo-terminal of its own for the command: its standard streams, and the terminal that
    /// controls its session. `nil` leaves it to those of the caller.
    public var terminal: PseudoTerminal.Settings?
    /// Whether signals that this program ignores stay ignored, as under `nohup`. Servers ignore
    /// SIGTERM, SIGINT and SIGPIPE to read them in other ways: their jobs are to have them. Real-time
    /// signals stay ignored in any case.
    public var keepsIgnoredSignals = false

    /// What the whole tree may use. One that cannot be enforced is an error at the start, and never a warning.
    public var limits = Limits()
    /// Wall clock time, suspend included; then the job is stopped.
    public var timeout: Duration?
    /// CPU time of the whole tree; then the job is stopped. Checked often enough to overshoot by
    /// little, but it is a limit that is watched, not one that the kernel enforces.
    public var cpuTimeout: Duration?
    /// The first signal at a stop or a timeout, to the command alone.
    public var stopSignal = Signal.terminate
    /// Between the stop signal and `cgroup.kill`.
    public var grace = Duration.seconds(5)
    /// A cgroup as in `/proc/PID/cgroup`, to nest the job's in; `nil` is the caller's own. Not with a scope.
    public var cgroupParent: String?
    /// Whether an OOM kill anywhere in the tree fails a job whose command exits with 0: `JobResult.isSuccess` is false
    /// then, and `Report.launcherExitCode` is 137.
    public var failsOnOOM = false

    /// - Parameter arguments: at least the command.
    public init(_ arguments: [ByteString]) {
        self.arguments = arguments
        environment = ThisProcess.environment
    }

    /// Sets a variable for the job, in place of one of the same name.
    public mutating func setEnvironment(_ assignment: ByteString) {
        removeEnvironment(assignment.bytes.prefix { $0 != UInt8(ascii: "=") })
        environment.append(assignment)
    }

    private mutating func removeEnvironment(_ name: ArraySlice<UInt8>) {
        let prefix = name + [UInt8(ascii: "=")]
        environment.removeAll { $0.bytes.starts(with: prefix) }
    }

    /// - Throws: when there is no command, or a limit that means nothing.
    func check() throws(LaunchError) {
        guard !arguments.isEmpty else {
            throw LaunchError(.invalid, "there is no command to run", remedy: "give at least its name")
        }
        try limits.check()
    }

    func environmentValue(_ name: String) -> ArraySlice<UInt8>? {
        let prefix = Array(name.utf8) + [UInt8(ascii: "=")]
        return environment.first { $0.bytes.starts(with: prefix) }?.bytes.dropFirst(prefix.count)
    }
}

/// What only a launcher has to say that runs one job and nothing else, such as `cgrun`.
public struct LaunchSpec: Sendable {
    /// What every job needs.
    public var job: JobSpec
    /// Whether the job dies when the process that started this one is gone.
    public var diesWithParent = true
    /// Who makes the cgroup.
    public var manager = ManagerChoice.auto
    /// How the job's scope is called and placed; only with systemd, which anything here asks for.
    public var unit = UnitOptions()
    /// Whether the job gets none of this program's descriptors above 2.
    public var closesDescriptors = false
    /// The mask that the command starts with: nothing blocked, whatever the calling thread blocks.
    public var signalMask = SignalSet()

    /// A job whose manager is `auto`, and which dies with the process that started this one.
    public init(_ job: JobSpec) { self.job = job }
}

extension Limits {
    func check() throws(LaunchError) {
        if let nonsense { throw LaunchError(.invalid, nonsense) }
    }
}
