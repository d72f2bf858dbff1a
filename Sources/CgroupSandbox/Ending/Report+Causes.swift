// How and why a job ended, in a report's words.

extension Report {
    /// How the command ended.
    public enum Result: String, Sendable, Codable {
        /// By itself, with `exitCode`.
        case exited
        /// By `signal`.
        case signaled
        /// By `signal`, with a core file.
        case dumped
        /// Nobody could learn it: the launcher was lost, or another part of the program took the command's status away.
        case unknown
        /// The command was not executed; `error` says why.
        case notStarted = "not_started"
    }

    /// Why a job ended.
    public enum Cause: String, Sendable, Codable, CaseIterable {
        /// The command exited with 0, by itself.
        case normal
        /// The command exited with another status, and nothing else explains that.
        case nonzeroExit = "nonzero_exit"
        /// A signal that this program sent, or cgrun passed on, ended the command.
        case signalForwarded = "signal_forwarded"
        /// A signal from somebody else ended the command, or one of its own: a crash, an `abort`.
        case signalOther = "signal_other"
        /// The kernel killed a process for want of memory, at `Limits.memoryMax`.
        case oomOwnLimit = "oom_own_limit"
        /// The kernel killed a process for want of memory, at the limit of a cgroup above the job.
        case oomAncestor = "oom_ancestor"
        /// The kernel killed a process for want of memory, because the machine ran out of it.
        case oomSystem = "oom_system"
        /// Reserved: systemd-oomd killed the job.
        case oomd
        /// The time of `JobSpec.timeout` was over.
        case timeoutWall = "timeout_wall"
        /// The CPU time of `JobSpec.cpuTimeout` was used up.
        case timeoutCPU = "timeout_cpu"
        /// The task that waited for the job was cancelled.
        case cancelled
        /// The process that had started the launcher was gone. Not with `Job`.
        case parentLost = "parent_lost"
        /// The launcher was gone; the guard had the report written. Not with `Job`, whose reports go with the program.
        case launcherLost = "launcher_lost"
        /// The guard died and could not be replaced.
        case guardLost = "guard_lost"
        /// The job's scope was stopped from outside, or went with its manager.
        case unitStopped = "unit_stopped"
        /// The command failed after the kernel had refused it processes or threads at `Limits.pidsMax`.
        case pidsLimit = "pids_limit"
        /// As `pidsLimit`, at the limit of a cgroup above the job.
        case pidsAncestor = "pids_ancestor"
        /// The cgroup, a limit or another part of the sandbox could not be had.
        case setupError = "setup_error"
        /// The command was not found or could not be executed.
        case execError = "exec_error"
        /// Nothing tells why.
        case unknown
    }

    /// How sure a cause is.
    public enum Confidence: String, Sendable, Codable {
        /// The kernel counted what explains the end, or this program did it.
        case certain
        /// Nothing else is known that explains the end.
        case likely
        /// What may explain the end has happened, but may have had nothing to do with it.
        case possible
    }

    /// A value that the cause was inferred from.
    public struct Evidence: Sendable, Equatable, Codable {
        /// A file of the kernel's, or `cgrun` for what it did itself.
        public var source: String
        /// What was in the file, or what cgrun did.
        public var value: String
    }
}
