internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

/// Tells why a job ended from what is known; no I/O, so that every case can be tested.
struct Diagnosis: Equatable, Sendable {
    var result = Report.Result.unknown
    var exitCode: Int32?
    var signal: Signal?
    var coreDumped = false
    var cause = Report.Cause.unknown
    var confidence = Report.Confidence.certain
    var evidence: [Report.Evidence] = []
    var launcherExitCode: Int32
    var oomInTree = false

    /// Everything a diagnosis is made from.
    struct Facts: Sendable {
        /// `nil` when the launcher was lost, and the command's end with it.
        var status: ExitStatus?
        var stop: StopReason?
        var signals = SignalLog()
        var statistics = JobStatistics()
        var memoryLimit: ByteCount?
        /// The nearest cgroup above the job with a memory limit, if there is one.
        var limitedAncestor: String?
        var failsOnOOM = false
        /// Processes of the job do not die, or nobody can tell whether any are left.
        var treeIsLeft = false
        /// All that was in the job's scope was killed with the command, and not by cgrun.
        var unitWasStopped = false
    }

    init(_ facts: Facts) {
        launcherExitCode = 125
        oomInTree = facts.statistics.oomKills > 0
        describeEnd(facts)
        if let stop = facts.stop, !Self.cameTooLate(stop, facts) {
            explain(stop, facts)
        } else {
            inferCause(facts)
        }
        addEvidence(facts)
        if oomInTree, facts.failsOnOOM, launcherExitCode == 0 { launcherExitCode = 137 }
        if facts.treeIsLeft { launcherExitCode = 125 }
    }

    private mutating func describeEnd(_ facts: Facts) {
        switch facts.status {
        case .exited(let code):
            result = .exited
            exitCode = code
            launcherExitCode = code
        case .signaled(let signal, let dumped):
            result = dumped ? .dumped : .signaled
            self.signal = signal
            coreDumped = dumped
            launcherExitCode = 128 + signal.rawValue
        case nil: break
        }
    }

    // MARK: What cgrun did itself

    /// A command that could still exit did not die from a kill without warning.
    private static func cameTooLate(_ stop: StopReason, _ facts: Facts) -> Bool {
        if case .exited = facts.status { return !stop.isGraceful }
        return false
    }

    private mutating func explain(_ stop: StopReason, _ facts: Facts) {
        evidence.append(Report.Evidence(source: "cgrun", value: stop.requestedBy))
        switch stop {
        case .timeoutWall:
            cause = .timeoutWall
            launcherExitCode = 124
        case .timeoutCPU:
            cause = .timeoutCPU
            launcherExitCode = 124
        case .caller: cause = .signalForwarded
        case .cancelled: cause = .cancelled
        case .parentLost: cause = .parentLost
        case .launcherLost: cause = .launcherLost
        case .guardLost: cause = .guardLost
        }
    }

    // MARK: What has to be inferred

    private mutating func inferCause(_ facts: Facts) {
        switch facts.status {
        case .signaled(.kill, _) where oomInTree:
            cause = oomCause(facts)
            confidence = facts.statistics.memoryEventsLocal?["oom_group_kill"] ?? 0 > 0 ? .certain : .likely
        case .signaled(.kill, _) where facts.unitWasStopped:
            cause = .unitStopped
            confidence = .likely
        case .signaled(let signal, _) where facts.signals.forwarded.contains(signal):
            cause = .signalForwarded
        case .signaled(.abort, _) where refusedForks(facts) > 0:
            // How Go and C++ programs take a thread that they could not have.
            cause = .pidsLimit
            confidence = .possible
        case .signaled:
            cause = .signalOther
        case .exited(code: 0):
            cause = .normal
        case .exited(let code) where oomInTree:
            cause = oomCause(facts)
            // What a shell returns for a child that was killed.
            confidence = code == 128 + Signal.kill.rawValue ? .likely : .possible
        case .exited where refusedForks(facts) > 0:
            cause = .pidsLimit
            confidence = .likely
        case .exited:
            cause = .nonzeroExit
        case nil:
            cause = .unknown
        }
    }

    /// `oom_kill` counts kills by any OOM killer; `oom` in the cgroup itself means that its own limit was met.
    private func oomCause(_ facts: Facts) -> Report.Cause {
        guard let local = facts.statistics.memoryEventsLocal else {
            // Whoever stopped the job's unit removed the cgroup between two reads. Its own limit is the nearest.
            return facts.memoryLimit != nil ? .oomOwnLimit : facts.limitedAncestor == nil ? .oomSystem : .oomAncestor
        }
        // A limit below the job's own (a nested job's) shows in the hierarchical count.
        let own = (local["oom"] ?? 0) + (facts.statistics.memoryEvents?["oom"] ?? 0)
        if own > 0 { return .oomOwnLimit }
        // v1 has no `oom` count; there, usage that reached the limit (but for a batch of pages) must do.
        if local["oom"] == nil, let limit = facts.memoryLimit?.bytes, let peak = facts.statistics.memoryPeakBytes,
            peak + Self.chargeBatch >= limit
        {
            return .oomOwnLimit
        }
        return facts.limitedAncestor == nil ? .oomSystem : .oomAncestor
    }

    /// How much a processor charges in advance, on every processor.
    private static let chargeBatch: UInt64 = 1 << 20

    private func refusedForks(_ facts: Facts) -> UInt64 { facts.statistics.pidsRefusedForks ?? 0 }

    private mutating func addEvidence(_ facts: Facts) {
        func add(_ source: String, _ value: some CustomStringConvertible) {
            evidence.append(Report.Evidence(source: source, value: value.description))
        }
        if let signal { add("wait status", "killed by \(signal)") }
        if let exitCode { add("wait status", "exited with \(exitCode)") }
        if let signal, facts.signals.fromTerminal.contains(signal) { add("signal source", "terminal") }
        if let signal, facts.signals.forwarded.contains(signal) { add("signal source", "forwarded by cgrun") }
        if oomInTree {
            add("memory.events: oom_kill", facts.statistics.oomKills)
            for key in ["oom", "oom_group_kill", "max"] {
                if let count = facts.statistics.memoryEventsLocal?[key], count > 0 {
                    add("memory.events.local: \(key)", count)
                }
            }
            if let peak = facts.statistics.memoryPeakBytes { add("memory.peak", peak) }
            if cause == .oomAncestor, let ancestor = facts.limitedAncestor { add("memory.max above the job", ancestor) }
        }
        if refusedForks(facts) > 0 { add("pids.events: max", refusedForks(facts)) }
    }
}
