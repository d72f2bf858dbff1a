package import Cgroups
internal import LinuxSystem
internal import SandboxValues

extension LaunchedJob {
    /// Ends what is left of the tree, reads all statistics, removes the cgroups and dismisses the guard.
    ///
    /// - Parameter deliver: gets the report while the guard still stands by, so that a report which
    ///   was asked for is written even if this process is killed now.
    /// - Returns: the report.
    public consuming func finish<Failure: Error>(
        _ deliver: (Report) throws(Failure) -> Void
    ) throws(Failure) -> Report {
        try finish(detail: .everything, deliver)
    }

    /// - Parameter detail: how much there is to tell; to read everything takes a while.
    package consuming func finish<Failure: Error>(
        detail: JobCgroup.Detail, _ deliver: (Report) throws(Failure) -> Void
    ) throws(Failure) -> Report {
        let outcome = TreeEnd.bring(about: cgroup, commandEnded: state.status != nil)
        let report = conclude(outcome, cgroup.statistics(detail), detail)
        outcome.remove(cgroup)
        do {
            try deliver(report)
        } catch {
            release(report, outcome)
            throw error
        }
        release(report, outcome)
        return report
    }

    /// Says how and why the job ended.
    func conclude(_ outcome: TreeEnd, _ statistics: JobStatistics, _ detail: JobCgroup.Detail) -> Report {
        var outcome = outcome
        if let killed = state.killedAt {
            outcome.emptyAfter = .now - killed
            outcome.wroteKill = true
        }
        var report = report
        report.containment.controllers = cgroup.controllers
        report.containment.joinedBeforeExec = joinedLate
        report.containment.guardsReplaced = guardian.replacementCount
        report.endedAt = Timestamp.now.text
        report.wallSeconds = ((state.endedAt ?? .now) - state.startedAt).seconds
        report.describe(state.stop)

        var facts = Diagnosis.Facts()
        facts.status = state.status
        facts.stop = state.stop?.reason
        facts.signals = state.signals
        facts.failsOnOOM = spec.failsOnOOM
        facts.unitWasStopped = unitWasStopped
        facts.statistics = statistics
        report.conclude(facts, outcome, cgroup, detail)
        return report
    }

    /// Whether the command was killed with all that was in its scope.
    private var unitWasStopped: Bool {
        guard state.stop == nil, case .signaled(.kill, _) = state.status else { return false }
        switch scope {
        // The manager kills one process after the other.
        case .some(let scope): return scope.wasEmptied(within: .milliseconds(20))
        case .none: return false
        }
    }

    /// Lets go of a tree that is gone. One that is not stays under its guard, which waits for it and cleans up.
    consuming func release(_ report: Report, _ outcome: TreeEnd) {
        guard outcome.isGone else {
            scope.take()?.abandon()
            return
        }
        if let scope = scope.take() {
            let (guardian, number, ownsGuard) = (guardian, number, ownsGuard)
            let wasStopped = [.guardLost, .unitStopped].contains(report.cause)
            scope.release(wasStopped: wasStopped) { guardian.release(number, ownsGuard: ownsGuard) }
        } else {
            guardian.release(number, ownsGuard: ownsGuard)
        }
    }
}

/// The last steps of every tree, after a normal end and after a loss.
struct TreeEnd: Sendable {
    var strays: [Report.ProcessInfo] = []
    var unkillable: [Report.ProcessInfo] = []
    /// Why nobody can tell whether the tree is empty, after all the time that it had.
    var blindness: SystemError?
    var wroteKill = false
    var emptyAfter: Duration = .zero
    /// Whether nothing is left of the tree.
    private(set) var isGone = false
    private var since: BootTime?

    /// Kills whatever is left and waits until the tree is empty, within bounds.
    ///
    /// - Parameter commandEnded: then those that are left are strays.
    static func bring(about cgroup: borrowing JobCgroup, commandEnded: Bool) -> TreeEnd {
        var end = TreeEnd()
        while !end.advance(cgroup, commandEnded: commandEnded) {
            _ = cgroup.waitUntilEmpty(atMost: LaunchedJob.patienceAfterKill)
        }
        return end
    }

    /// One look at the tree, and one kill if anything is left of it.
    ///
    /// - Returns: whether it is empty, or given up.
    mutating func advance(_ cgroup: borrowing JobCgroup, commandEnded: Bool) -> Bool {
        // What cannot be looked at is not empty.
        var failure: SystemError?
        do { isGone = try !cgroup.isPopulated() } catch { failure = error }
        let now = BootTime.now
        if since == nil { since = now }
        emptyAfter = now - (since ?? now)
        guard !isGone else { return true }
        let members = cgroup.members
        if commandEnded, strays.isEmpty { strays = Self.describe(members) }
        if emptyAfter >= LaunchedJob.patienceAfterKill {
            unkillable = Self.describe(members)
            blindness = failure
            return true
        }
        if !members.isEmpty { wroteKill = true }
        try? cgroup.kill()
        return false
    }

    private static func describe(_ pids: [ProcessID]) -> [Report.ProcessInfo] {
        // A snapshot of a fork bomb need not be complete to be understood.
        pids.prefix(1_000).map { Report.ProcessInfo(pid: $0, comm: ProcessTable.commandName($0) ?? "?") }
    }

    /// Removes the cgroups; what cannot be removed now is the guard's or the next sweep's.
    func remove(_ cgroup: borrowing JobCgroup) {
        guard isGone else { return }
        // The last processes may be on their way out of the v1 groups still.
        for _ in 0..<Self.removalAttempts {
            if (try? cgroup.remove()) != nil { return }
            var pause = Poller()
            _ = pause.wait(.milliseconds(1))
        }
    }

    static let removalAttempts = 1_000
}
