internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

/// How a job ended, as its driver has seen it.
struct JobEnd: Sendable {
    /// `nil` when the launcher was lost, or the command did not end.
    var status: ExitStatus?
    var stop: Stop?
    var signals = SignalLog()
    /// From the command's start to its end; `nil` when the launcher was lost.
    var wallTime: Duration?
    /// From the command's end, or the kill, to an empty tree; `nil` while it is not empty.
    var emptyAfter: Duration?
    var wroteKill = false
    var strays: [Report.ProcessInfo] = []
    /// What had not ended at the end of the grace.
    var blocking: [Report.ProcessInfo] = []
    var unkillable: [Report.ProcessInfo] = []
    /// Why the last look at the tree failed, so that nobody can tell whether it is empty.
    var blindness: SystemError?
    var statistics = JobStatistics()
    /// How much of the statistics was read.
    var detail = JobCgroup.Detail.everything
    /// The controllers that account for the job.
    var controllers: [String] = []
    /// The nearest cgroup above the job with a memory limit, looked for only after an OOM kill.
    var memoryLimitAbove: String?
    /// The cgroup above the job whose pids limit refused processes, where the job's own did not.
    var pidsLimitAbove: String?
    /// The limits that are not what was set.
    var changedLimits: [ChangedLimit] = []
    /// How much CPU time the command had used of its limit as a process; `nil` where it had not come near.
    var cpuTimeAtLimit: String?
    /// Whether all that was in the job's scope got the stop signal, or was killed, and not by cgrun.
    var outsideStop: OutsideStop?
    /// Whether the guard killed the job when its time was over, since the launcher had not.
    var wasKilledByGuard = false

    var treeIsGone: Bool { emptyAfter != nil }

    /// Whether it matters if a cgroup above refused processes. A command that succeeded, and of which nobody wants to
    /// know more, does not have to pay for it.
    var wantsPIDsLimitAbove: Bool {
        stop == nil && (status != .exited(code: 0) || detail == .everything || statistics.pidsRefusedForks ?? 0 > 0)
    }

    /// Takes over how the machine has ended the job.
    mutating func adopt(_ machine: JobMachine) {
        status = machine.status
        stop = machine.stop
        emptyAfter = machine.emptyAfter
        wroteKill = machine.wroteKill
        if treeIsGone { blindness = nil }
    }
}
