public import SandboxValues

/// A command that systemd runs and looks after: the model of a `.service` file (systemd.service(5)).
///
/// `SendSIGKILL=yes` is the same in all services: no process outlives a stop.
public struct Service: Equatable, Sendable {
    /// `Type=`: when the service has started, so that units after it may start (systemd.service(5)).
    public enum Start: Equatable, Sendable {
        /// `exec`: once the program is executed. A start fails where it cannot be.
        case executed
        /// `notify`: once one of its processes has sent `READY=1`, as sd_notify(3) does (`NotifyAccess=all`).
        case notified
        /// `oneshot`: once the command has ended with success. The service is active from then on
        /// (`RemainAfterExit=yes`).
        case completed
    }

    /// A command that is tried each second until it exits with 0, and each time for at most 10 seconds: an
    /// `ExecStartPost=` with a shell. It fails once the main process is gone, unless the service `waitsForAll`. The
    /// service's user runs it, as systemd runs the service's command; its output is lost.
    public struct Probe: Equatable, Sendable {
        /// The command and its arguments. It is looked up in the service's `PATH`, and has `MAINPID` and
        /// `INVOCATION_ID` in its environment.
        public var words: [ByteString]

        /// A probe; at least the command is needed.
        public init(_ words: [ByteString]) { self.words = words }
    }

    /// `Restart=`: after which ends systemd starts the service again by itself (systemd.service(5)). After
    /// `systemctl stop` it never does.
    public enum Restart: String, Sendable, CaseIterable {
        /// `no`: after none.
        case no
        /// `on-failure`: after an exit status that is not a success, a signal other than SIGHUP, SIGINT, SIGTERM and
        /// SIGPIPE, and a timeout.
        case onFailure = "on-failure"
        /// `always`: after every end, be it a success.
        case always
    }

    /// `KillMode=`: which of the service's processes get the stop signal (systemd.kill(5)). Whatever is left after
    /// `stopTimeout` gets SIGKILL in both cases.
    public enum KillMode: String, Sendable, CaseIterable {
        /// `control-group`: all of them.
        case controlGroup = "control-group"
        /// `mixed`: the main process alone. Once it has ended, the others get SIGKILL.
        case mixed
    }

    /// `OOMPolicy=`: what happens once the kernel has killed a process of the service for want of memory
    /// (systemd.service(5)).
    public enum OOMPolicy: String, Sendable {
        /// `kill`: the kernel kills all of the service's processes along with it (`memory.oom.group`).
        case kill
        /// `stop`: systemd stops the service as `systemctl stop` would, but counts it as failed.
        case stop
        /// `continue`: systemd notes it in its log, and the other processes run on.
        case `continue`
    }

    /// `StartLimitBurst=` and `StartLimitIntervalSec=`: how often a service may be started before systemd gives up on
    /// it (systemd.unit(5)). Starts by hand count, too.
    public struct StartLimit: Equatable, Sendable {
        /// `StartLimitBurst=`: so many starts within `interval` are allowed, from 1 to 2,147,483,647.
        public var burst: Int
        /// `StartLimitIntervalSec=`: the time within which starts are counted. 0 counts none, and so never gives up.
        public var interval: Duration

        /// At most `burst` starts within `interval`.
        public init(burst: Int, interval: Duration) {
            self.burst = burst
            self.interval = interval
        }
    }

    /// The file's name; of the kind `service`. A name that ends in `@` makes a template.
    public var name: UnitName
    /// Comments at the top of the file, for people, one line each.
    public var header: [String] = []
    /// `Description=`: one line on what the service is, shown by `systemctl status`.
    public var summary: String
    /// What other units the service needs and starts after.
    public var dependencies = Dependencies()
    /// `StartLimitBurst=`, `StartLimitIntervalSec=`: when systemd gives up on the service. `nil` for never, by
    /// `StartLimitIntervalSec=0`; with `Restart.no`, for systemd's own default (usually 5 starts in 10 seconds).
    public var startLimit: StartLimit?

    // MARK: Start and restart: systemd.service(5)

    /// `ExecStart=`: what the service runs.
    public var command: Command
    /// `ExecStartPost=` with a shell that waits: so long, in whole seconds, the main process (with `waitsForAll`, any
    /// of the service's) has to live for the start to succeed; the unit is starting until then, and systemd gives it no more than its usual time for starts
    /// (90 seconds, unless told otherwise). Fractions are cut off. None by default.
    public var settleTime = Duration.zero
    /// `Type=`: when the service has started; once its program is executed, by default.
    public var start = Start.executed
    /// `ExecStartPost=` with a probe: the service has started once this has exited with 0. `nil`, as by default, for no
    /// such condition.
    public var probe: Probe?
    /// `TimeoutStartSec=`: how long a start may take before it has failed. `nil` for systemd's default: usually 90
    /// seconds, and no limit with `Start.completed`.
    public var startTimeout: Duration?
    /// `RuntimeMaxSec=`: how long the service may run before systemd stops it, and takes it for failed. No limit by
    /// default. Without effect with `Start.completed`.
    public var runtimeLimit: Duration?
    /// `WatchdogSec=`: how long the service, once it is started, may not say `WATCHDOG=1`, as sd_notify(3) does, before
    /// systemd ends it with SIGABRT as a failure. `nil` for ever.
    public var watchdog: Duration?
    /// `ExitType=cgroup`: whether the service lasts until the last of its processes has ended, and not the main one
    /// (systemd 250). No by default.
    public var waitsForAll = false
    /// `ExecReload=` with kill(1): the signal that `systemctl reload` sends to the main process. `nil` for a service
    /// that cannot reload.
    public var reloadSignal: Signal?
    /// `ExecReload=`: the command that `systemctl reload` runs, with the main process in the variable `MAINPID`.
    public var reloadCommand: Command?
    /// `Restart=`: after which ends systemd starts the service again. `on-failure` by default, where systemd's is
    /// `no`.
    public var restart = Restart.onFailure
    /// `RestartSec=`: the time from the end to the next start. 5 seconds by default, where systemd's is 100 ms; not
    /// written with `Restart.no`.
    public var restartDelay = Duration.seconds(5)
    /// `SuccessExitStatus=`: exit codes (`3`) and signals (`SIGUSR1`) that count as success, along with code 0,
    /// SIGHUP, SIGINT, SIGTERM and SIGPIPE.
    public var successExitStatuses: [String] = []
    /// `RestartPreventExitStatus=`: exit codes and signals after which the service stays down, whatever `restart`
    /// says.
    public var restartPreventExitStatuses: [String] = []
    /// `RestartForceExitStatus=`: exit codes and signals after which systemd restarts it, whatever `restart` says.
    public var restartForceExitStatuses: [String] = []
    /// `Sockets=`: full names of socket units whose sockets the service gets, a line for each. Not needed for the
    /// socket of the service's own name.
    public var sockets: [String] = []
    /// `OOMPolicy=`: what an OOM kill in the service means for the rest of it. `kill` by default, where systemd's is
    /// usually `stop`.
    public var oomPolicy = OOMPolicy.kill

    // MARK: The command's surroundings: systemd.exec(5)

    /// `WorkingDirectory=`: an absolute path. `nil` for systemd's default: `/`, or home for a user's own services.
    public var workingDirectory: String?
    /// `User=`: who runs the command, by name or number. `nil` for root, or for the user whose own systemd it is.
    public var user: String?
    /// `Group=`: the command's group, by name or number. `nil` for the user's own.
    public var group: String?
    /// `SupplementaryGroups=`: groups, by name or number, that the command and the probe are in besides. They have to
    /// exist. None by default.
    public var supplementaryGroups: [String] = []
    /// `UMask=`: the permissions that new files do not get, up to `0o7777`. `nil` for systemd's default of `0022`,
    /// with strict `hardening` for `0077`.
    public var umask: UInt16?
    /// `LimitNOFILE=`: how many files each process may have open, from 1 to 2,147,483,647. That is the soft limit; up
    /// to the hard limit, 524,288 or this number if it is higher, a process can raise it. `nil` for systemd's
    /// default, usually 1,024 and 524,288.
    public var openFiles: Int?
    /// `Environment=`, a line for each variable. What that cannot hold (a name other than letters, digits and `_`, or
    /// a value that is not UTF-8) is set by running the command through env(1).
    public var environment: [EnvironmentVariable] = []
    /// `EnvironmentFile=`, a line for each: absolute paths of files with lines `NAME=VALUE`, which systemd reads at
    /// every start and which override `Environment=`. With `-` before its path, a file may be missing. The paths are
    /// no patterns: `*`, `?` and `[` stand for themselves.
    public var environmentFiles: [String] = []
    /// `StandardInput=socket`: whether standard input is the socket of the unit in `sockets`, as FastCGI programs
    /// expect; systemd wants one socket there and no more. If not, as by default, standard input is `/dev/null`.
    public var readsSocket = false
    /// `StandardOutput=`: where standard output goes; to the journal by default.
    public var output = Output.journal
    /// `StandardError=`: where standard error goes; with standard output by default.
    public var errorOutput = Output.inherit
    /// `SyslogIdentifier=`: the name before each line in the journal. `nil` for the program's own.
    public var syslogIdentifier: String?
    /// How much of the system the service may touch; all that its user may, by default.
    public var hardening = Hardening(.off)

    // MARK: Stop: systemd.kill(5)

    /// `KillMode=`: which processes get the stop signal; all of them by default.
    public var killMode = KillMode.controlGroup
    /// `KillSignal=`: the signal that a stop sends first; SIGTERM by default.
    public var stopSignal = Signal.terminate
    /// `TimeoutStopSec=`: the time from the stop signal to SIGKILL. 30 seconds by default, where systemd's is usually
    /// 90. systemd takes 0 for no limit at all.
    public var stopTimeout = Duration.seconds(30)

    // MARK: Resources: systemd.resource-control(5)

    /// `MemoryMax=`, `TasksMax=`, `CPUQuota=` and the like: one directive for each limit that is given, for all
    /// processes of the service together. None by default.
    public var limits = Limits()
    /// `Slice=`: the slice that the service is put into; of the kind `slice`. `nil` for systemd's choice, usually
    /// `system.slice`.
    public var slice: UnitName?
    /// `Delegate=yes`: whether the service makes cgroups of its own below its unit's, and systemd leaves them alone.
    /// No by default.
    public var delegatesCgroups = false
    /// `WantedBy=` in `[Install]` (systemd.unit(5)): the units, by their full names, that start the service once
    /// `systemctl enable` has run, such as `multi-user.target`. None by default: nothing starts it by itself.
    public var wantedBy: [String] = []

    /// A service that runs the command with every other property at its default.
    public init(name: UnitName, summary: String, command: Command) {
        self.name = name
        self.summary = summary
        self.command = command
    }
}
