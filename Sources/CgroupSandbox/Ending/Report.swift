public import SandboxValues

/// What became of a job, for programs. Facts that are missing are `nil`, and `unavailable` says why.
///
/// The JSON form is versioned by `schema`; units are in the names.
public struct Report: Sendable, Equatable, Codable {
    /// The version of the JSON form. It grows when a field changes its meaning or goes, not when one is added.
    public var schema = 1
    /// The job's ID, as in its cgroup's name.
    public var jobID: String
    /// The command and its arguments; bytes that are not UTF-8 are shown as U+FFFD.
    public var argv: [String]
    /// The working directory that was asked for, or the launcher's own.
    @Explicit public var cwd: String?
    /// The user that the command ran as.
    public var uid: UInt32
    /// The machine's name (`uname -n`).
    public var host: String
    /// `/proc/sys/kernel/random/boot_id`, which changes with each boot.
    @Explicit public var bootID: String?
    /// What held the job together.
    public var containment: Containment
    /// When the launch began: RFC 3339, in UTC.
    public var startedAt: String
    /// When the job was over, or the launch had failed: RFC 3339, in UTC.
    @Explicit public var endedAt: String?
    /// From the command's start to its end, time of suspend included.
    @Explicit public var wallSeconds: Double?

    /// How the command ended.
    public var result = Result.unknown
    /// The command's exit status, with `result` `exited`.
    @Explicit public var exitCode: Int32?
    /// The signal that ended the command, with `result` `signaled` or `dumped`.
    @Explicit public var signal: SignalInfo?
    /// Whether the kernel wrote a core file, or gave one to a handler.
    public var coreDumped = false
    /// Why the job ended.
    public var cause = Cause.unknown
    /// How sure `cause` is.
    public var confidence = Confidence.certain
    /// What `cause` was inferred from.
    public var evidence: [Evidence] = []
    /// What happened, in one line for people; `nil` for a command that simply returned.
    @Explicit public var explanation: String?
    /// What to do about it, in one line; `nil` when there is nothing general to say.
    @Explicit public var advice: String?
    /// What `cgrun` exits with; `nil` when the launcher was lost.
    @Explicit public var launcherExitCode: Int32?
    /// Why the job did not start, or why nobody can tell whether anything of it is left.
    @Explicit public var error: String?

    /// Whether the kernel killed a process of the tree for want of memory, whatever the command made of it.
    public var oomInTree = false
    /// Whether `strays` were left when the command had ended, and were killed.
    public var straysKilled = false
    /// Reserved: `nil` until escapes from the cgroup are looked for.
    @Explicit public var escapeDetected: Bool?

    /// The limits that were in force at the end.
    public var limits: LimitValues
    /// The limits that were not what cgrun had set when the job ended: somebody had changed their control files.
    public var limitsChanged: [LimitChange] = []
    /// What memory was used.
    public var memory = Memory()
    /// How many processes and threads there were.
    public var pids = PIDs()
    /// What CPU time was used.
    public var cpu = CPU()
    /// Bytes for each device (`io.stat`); needs the controller.
    @Explicit public var io: [DeviceIO]?
    /// How long processes waited for resources (PSI, Linux 4.20).
    public var pressure = PressureSet()
    /// Who asked for the end, and how the end came.
    public var termination = Termination()
    /// Processes that were left when the command had ended, and were killed, or asked to end (`JobSpec.strays`).
    public var strays: [ProcessInfo] = []
    /// Processes that did not die from `cgroup.kill`.
    public var unkillable: [ProcessInfo] = []
    /// Which fields are `nil`, and why.
    public var unavailable: [Unavailable] = []

    /// What held a job together.
    public struct Containment: Sendable, Equatable, Codable {
        /// `systemd` or `cgroupfs`.
        public var manager: String
        /// Why this manager was chosen.
        public var managerReason: String
        /// What was asked for: `guarded`.
        public var requested: String
        /// `guarded`: a cgroup of its own, a guard outside of it, and `layers`. `none` for a job that did not start.
        public var achieved: String
        /// Who ends the job when those before them in the list are lost.
        public var layers: [Layer] = []
        /// The name of the job's scope; `nil` with cgroupfs.
        @Explicit public var unit: String?
        /// systemd's version as systemd spells it, such as `257.9-1~deb13u1`.
        @Explicit public var systemdVersion: String?
        /// The job's cgroup as an absolute path. It is removed by now, unless processes did not die.
        @Explicit public var cgroup: String?
        /// The controllers that the job had.
        public var controllers: [String]
        /// The cgroup hierarchy: `unified` or `hybrid`.
        @Explicit public var hierarchy: String?
        /// Whether the command entered its cgroup itself just before exec, because clone3(2) could not place it there.
        public var joinedBeforeExec = false
        /// How often a guard that had died was replaced.
        public var guardsReplaced = 0
    }

    /// Somebody who ends the job when others cannot.
    public struct Layer: Sendable, Equatable, Codable {
        /// `launcher`, `guard`, `manager`, `init`, `sweep`.
        public var name: String
        /// What this layer does for the job.
        public var detail: String
    }

    /// A signal.
    public struct SignalInfo: Sendable, Equatable, Codable {
        /// As in `kill -l`.
        public var number: Int32
        /// Such as `SIGTERM`.
        public var name: String
    }

    /// What was allowed. `nil`: no limit was asked for.
    public struct LimitValues: Sendable, Equatable {
        /// What was in force: shares of RAM in bytes, and swap pinned to 0 by a memory limit alone.
        public var resources = Limits()
        /// `JobSpec.timeout`.
        public var wallTimeoutSeconds: Double?
        /// `JobSpec.cpuTimeout`.
        public var cpuTimeoutSeconds: Double?
        /// When `Job.update` changed the limits last: RFC 3339, in UTC. `nil`: never.
        public var changedAt: String?
    }

    /// A limit that somebody else than cgrun changed while the job ran.
    public struct LimitChange: Sendable, Equatable, Codable {
        /// The control file as an absolute path.
        public var file: String
        /// What cgrun had written.
        public var set: String
        /// What was there at the end; `nil`: the file was gone, and with it the limit.
        @Explicit public var found: String?
    }

    /// Memory that was used; needs the controller.
    public struct Memory: Sendable, Equatable, Codable {
        /// `memory.peak` (Linux 5.19), page cache included.
        @Explicit public var peakBytes: UInt64?
        /// `memory.swap.peak` (Linux 6.5).
        @Explicit public var swapPeakBytes: UInt64?
        /// `memory.events`: how often a limit was met, and what came of it. Names as in the kernel.
        @Explicit public var events: EventCounts?
        /// `memory.events.local` (Linux 5.2): `events` without the cgroups below the job's.
        @Explicit public var eventsLocal: EventCounts?
        /// `memory.stat` when no process was left: what of the memory was page cache, for example.
        @Explicit public var atEnd: MemoryParts?
    }

    /// What memory consists of.
    public struct MemoryParts: Sendable, Equatable, Codable {
        /// What processes have allocated (`anon`).
        public var anonymousBytes: UInt64
        /// The page cache (`file`), which the kernel takes back when memory is short, but for `sharedBytes`.
        public var fileBytes: UInt64
        /// tmpfs and shared memory (`shmem`), which are part of `fileBytes`, and stay until they are removed.
        public var sharedBytes: UInt64
        /// What the kernel holds for the job (`kernel`, Linux 5.18).
        @Explicit public var kernelBytes: UInt64?
    }

    /// Processes and threads; needs the controller.
    public struct PIDs: Sendable, Equatable, Codable {
        /// `pids.peak` (Linux 6.1).
        @Explicit public var peak: UInt64?
        /// How many processes and threads were refused: since Linux 6.11 by the job's own limit (`max` in
        /// `pids.events.local`); before, and with cgroup v1, by any limit, to processes of the job's own cgroup.
        @Explicit public var refusedForks: UInt64?
    }

    /// CPU time (`cpu.stat`), which is counted without the controller, too.
    public struct CPU: Sendable, Equatable, Codable {
        /// In programs and in the kernel.
        @Explicit public var usageSeconds: Double?
        /// What was spent in programs.
        @Explicit public var userSeconds: Double?
        /// What was spent in the kernel.
        @Explicit public var systemSeconds: Double?
        /// How long `cpu.max` made the job wait.
        @Explicit public var throttledSeconds: Double?
    }

    /// What was read from and written to a device.
    public struct DeviceIO: Sendable, Equatable, Codable {
        /// `major:minor`.
        public var device: String
        /// What reached the device; the page cache is not a device.
        public var readBytes: UInt64
        /// What was written to the device; the page cache may write more after the job's end.
        public var writeBytes: UInt64
    }

    /// How long processes waited, by resource.
    public struct PressureSet: Sendable, Equatable, Codable {
        /// `memory.pressure`.
        @Explicit public var memory: Pressure?
        /// `cpu.pressure`.
        @Explicit public var cpu: Pressure?
        /// `io.pressure`.
        @Explicit public var io: Pressure?
    }

    /// How long processes waited for a resource.
    public struct Pressure: Sendable, Equatable, Codable {
        /// How long at least one process waited.
        public var someSeconds: Double
        /// How long all processes waited at once; `nil` where the kernel does not tell.
        @Explicit public var fullSeconds: Double?
    }

    /// Who asked for the end of a job, and how the end came.
    public struct Termination: Sendable, Equatable, Codable {
        /// `timeout`, `cpu_timeout`, `caller` (a signal to cgrun), `parent_lost`, …; `nil`: nobody asked.
        @Explicit public var requestedBy: String?
        /// The stop signal that was sent.
        @Explicit public var signal: SignalInfo?
        /// How long after the stop signal the tree is killed.
        @Explicit public var graceSeconds: Double?
        /// Whether the tree was killed because the grace was over, or there was none.
        public var escalated = false
        /// The processes that had not ended at the end of the grace, and were killed.
        public var blocking: [ProcessInfo] = []
        /// Whether `cgroup.kill` was written while processes were left.
        public var cgroupKill = false
        /// From the command's end, or the kill, to an empty tree.
        @Explicit public var emptyAfterSeconds: Double?
    }

    /// A process of the job.
    public struct ProcessInfo: Sendable, Equatable, Codable {
        /// Its number, which may mean another process by now.
        public var pid: Int32
        /// Its name, of at most 15 bytes (`/proc/PID/comm`).
        public var comm: String
    }

    /// A fact that is missing.
    public struct Unavailable: Sendable, Equatable, Codable {
        /// The field by its name in the JSON.
        public var field: String
        /// Why it is missing.
        public var reason: String
    }
}
