package import Cgroups
internal import CLinux
internal import LinuxSystem

extension Report {
    /// Who was lost, as the guard tells the program that writes the report.
    package enum Loss: CInt, Sendable {
        case launcher = 1
        case parent = 2
    }

    /// Finishes a job in place of its launcher: kills what is left, reads the statistics and completes
    /// the report that the launcher had begun. The cgroups stay, for `outlast`.
    package mutating func recover(_ loss: Loss, _ cgroup: borrowing JobCgroup) {
        let end = TreeEnd.bring(about: cgroup, commandEnded: false)
        containment.controllers = cgroup.controllers
        endedAt = Timestamp.now.text
        describe(Stop(reason: loss == .launcher ? .launcherLost : .parentLost, escalated: true))
        var facts = Diagnosis.Facts()
        facts.stop = loss == .launcher ? .launcherLost : .parentLost
        facts.statistics = cgroup.statistics(.everything)
        conclude(facts, end, cgroup, .everything)
        termination.cgroupKill = true
        launcherExitCode = nil
        for (field, isMissing) in [
            ("wall_seconds", wallSeconds == nil), ("exit_code", exitCode == nil), ("signal", signal == nil),
            ("launcher_exit_code", true),
        ] where isMissing {
            unavailable.append(
                Unavailable(field: field, reason: "the launcher was lost, and with it how the command ended"))
        }
    }
}
