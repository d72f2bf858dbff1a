internal import CLinux
internal import Cgroups
package import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// A job that its guard has killed, as the guard hands it to the finisher.
package final class LostJob {
    private let reason: StopReason
    private let message: guard_contents
    /// The facts that the launcher has written down; empty if the launcher had delivered the report.
    package let record: Descriptor
    /// The descriptor of `--report-fd`, if one was given.
    package let report: SharedDescriptor?
    /// What the path of `--report` led to, if one was given.
    package let target: SharedDescriptor?

    /// Reads what the guard has queued on descriptor 3.
    ///
    /// - Throws: when there is no such message: this process was not started by a guard.
    package init() throws(SystemError) {
        let message = try guard_contents.queued(GUARD_FINISH)
        reason = message.loss == GUARD_LAUNCHER_LOST ? .launcherLost : .parentLost
        record = Descriptor(owning: message.record)
        report = message.report < 0 ? nil : SharedDescriptor(Descriptor(owning: message.report))
        target = message.target < 0 ? nil : SharedDescriptor(Descriptor(owning: message.target))
        self.message = message
    }

    /// Ends the job in place of its launcher, and waits until nothing of it is left, for as long as that takes.
    ///
    /// - Parameters:
    ///   - facts: what the launcher has written down; `nil` where no report is wanted, or nobody can read the record.
    ///   - deliver: gets the report.
    package func finish(
        _ facts: JobFacts?, _ deliver: @escaping @Sendable (Report) -> Void
    ) throws(SystemError) {
        let parents = message.parentList
        let path = Descriptor.path(of: message.directoryList[0]) ?? message.nameText
        let cgroup = JobCgroup(
            adopting: message.nameText, path: path, tags: message.tagList, parents: parents,
            directories: message.directoryList, parentSharesLimits: facts?.home.sharesLimits == true)
        let loop: EventLoop
        do { loop = try EventLoop() } catch {
            // No event loop means no report; but nothing of the job may be left.
            try cgroup.end(.forEver)
            throw error
        }
        guard let facts else {
            try cgroup.end(.forEver)
            return
        }
        let driver = JobDriver(finishing: facts, cgroup, because: reason, loop)
        driver.setDelivery(.everything, deliver)
        driver.begin(watchesCommand: false)
        while driver.finalReport == nil { loop.turn() }
    }
}
