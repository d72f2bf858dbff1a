internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

/// Tells why a job ended from what is known; no I/O, so that every case can be tested.
struct Diagnosis: Sendable {
    var result = Report.Result.unknown
    var exitCode: Int32?
    var signal: Signal?
    var coreDumped = false
    var cause = Report.Cause.unknown
    var confidence = Report.Confidence.certain
    var evidence: [Report.Evidence] = []
    var launcherExitCode: Int32 = 125
    var oomInTree = false

    private let end: JobEnd
    private let memoryLimit: ByteCount?

    /// - Parameters:
    ///   - memoryLimit: the memory limit in force at the end.
    ///   - failsOnOOM: whether a process that was killed for want of memory makes the job a failure.
    init(_ end: JobEnd, memoryLimit: ByteCount?, failsOnOOM: Bool) {
        self.end = end
        self.memoryLimit = memoryLimit
        oomInTree = end.statistics.oomKills > 0
        describeEnd()
        if let stop = end.stop, !cameTooLate(stop) {
            explain(stop.reason)
        } else {
            inferCause()
        }
        addEvidence()
        if oomInTree, failsOnOOM, launcherExitCode == 0 { launcherExitCode = 137 }
        if !end.treeIsGone { launcherExitCode = 125 }
    }

    private mutating func describeEnd() {
        switch end.status {
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

    /// Whether a stop does not explain how the command ended: it had ended before.
    private func cameTooLate(_ stop: Stop) -> Bool {
        // A time limit is met by the job, whoever of it is left.
        if stop.isForStrays { return ![.timeoutWall, .timeoutCPU].contains(stop.reason) }
        // What kills at once leaves nobody the time to exit.
        if case .exited = end.status { return !stop.reason.isGraceful }
        return false
    }

    private mutating func explain(_ stop: StopReason) {
        evidence.append(Report.Evidence(source: "cgrun", value: stop.rawValue))
        switch stop {
        case .timeoutWall:
            cause = .timeoutWall
            launcherExitCode = 124
        case .timeoutCPU:
            cause = .timeoutCPU
            launcherExitCode = 124
        case .caller: cause = .signalForwarded
        case .cancelled: cause = .cancelled
        case .parentLost:
            cause = .parentLost
            // In the finisher, the launcher was lost as well, within moments.
            if end.wallTime == nil { confidence = .likely }
        case .launcherLost: cause = .launcherLost
        case .guardLost: cause = .guardLost
        }
    }

    // MARK: What has to be inferred

    private mutating func inferCause() {
        (cause, confidence) =
            switch end.status {
            case .signaled(.kill, _) where oomInTree:
                (oomCause(), end.statistics.memoryEventsLocal?["oom_group_kill"] ?? 0 > 0 ? .certain : .likely)
            case .signaled where end.outsideStop != nil: (.unitStopped, .likely)
            case .signaled(let signal, _) where end.signals.forwarded.contains(signal): (.signalForwarded, .certain)
            // Go and C++ programs abort when they cannot start a thread.
            case .signaled(.abort, _) where forksWereRefused: (refusalCause, .possible)
            case .signaled(let signal, _):
                // Nobody tells who sent it, but the terminal.
                (.signalOther, end.signals.fromTerminal.contains(signal) ? .certain : .likely)
            case .exited where end.outsideStop != nil: (.unitStopped, .likely)
            case .exited(code: 0): (.normal, .certain)
            case .exited(let code) where oomInTree:
                // The status of a shell whose child was killed.
                (oomCause(), code == 128 + Signal.kill.rawValue ? .likely : .possible)
            // What v2 counts above the job may have been refused to others.
            case .exited where forksWereRefused: (refusalCause, refusedForks > 0 ? .likely : .possible)
            case .exited: (.nonzeroExit, .certain)
            case nil: (.unknown, .certain)
            }
    }

    /// `oom_kill` counts kills by any OOM killer; `oom` in the cgroup itself means that its own limit was met.
    private func oomCause() -> Report.Cause {
        guard let local = end.statistics.memoryEventsLocal else {
            // The cgroup was removed before it was read, with the job's unit. The job's own limit is the nearest.
            return memoryLimit != nil ? .oomOwnLimit : end.memoryLimitAbove == nil ? .oomSystem : .oomAncestor
        }
        // A limit below the job's own (a nested job's) shows in the hierarchical count.
        let own = (local["oom"] ?? 0) + (end.statistics.memoryEvents?["oom"] ?? 0)
        if own > 0 { return .oomOwnLimit }
        // v1 has no `oom` count: there, a peak at the limit, or less than a batch of pages below it, must do.
        if local["oom"] == nil, let limit = memoryLimit?.bytes, let peak = end.statistics.memoryPeakBytes,
            peak + Self.chargeBatch >= limit
        {
            return .oomOwnLimit
        }
        return end.memoryLimitAbove == nil ? .oomSystem : .oomAncestor
    }

    /// How far below the limit the peak may stay at an OOM kill: processors charge memory in advance, in batches.
    private static let chargeBatch: UInt64 = 1 << 20

    /// The evidence that the command had used up its CPU time as a process.
    static let cpuTimeLimit = "RLIMIT_CPU"

    /// The evidence that the guard ended a job when its time was over, and that a stop came after the command's end.
    static let (byGuard, afterCommand) = ("the guard", "after the command's end")

    /// The evidence that a cgroup above the job refused processes, and that it was its limit at which one was killed.
    static let (pidsLimitAbove, memoryLimitAbove) = ("pids.max above the job", "memory.max above the job")

    private var refusedForks: UInt64 { end.statistics.pidsRefusedForks ?? 0 }
    private var forksWereRefused: Bool { refusedForks > 0 || end.pidsLimitAbove != nil }
    private var refusalCause: Report.Cause { end.pidsLimitAbove == nil ? .pidsLimit : .pidsAncestor }

    private mutating func addEvidence() {
        func add(_ source: String, _ value: some CustomStringConvertible) {
            evidence.append(Report.Evidence(source: source, value: value.description))
        }
        if let signal { add("wait status", "killed by \(signal)") }
        if let exitCode { add("wait status", "exited with \(exitCode)") }
        if let signal, end.signals.fromTerminal.contains(signal) { add("signal source", "terminal") }
        if let signal, end.signals.forwarded.contains(signal) { add("signal source", "forwarded by cgrun") }
        if oomInTree {
            add("memory.events: oom_kill", end.statistics.oomKills)
            for key in ["oom", "oom_group_kill", "max"] {
                if let count = end.statistics.memoryEventsLocal?[key], count > 0 {
                    add("memory.events.local: \(key)", count)
                }
            }
            if let peak = end.statistics.memoryPeakBytes { add("memory.peak", peak) }
            if cause == .oomAncestor, let ancestor = end.memoryLimitAbove { add(Self.memoryLimitAbove, ancestor) }
        }
        if end.wasKilledByGuard { add(Self.byGuard, "killed the job when its time was over") }
        if let stop = end.stop, stop.isForStrays { add(Self.afterCommand, stop.reason.rawValue) }
        if let stop = end.outsideStop {
            add("the job's scope", stop == .asked ? "got the stop signal from outside" : "was killed from outside")
        }
        if refusedForks > 0 { add("pids.events: max", refusedForks) }
        if let above = end.pidsLimitAbove { add(Self.pidsLimitAbove, above) }
        if signal == .kill, let used = end.cpuTimeAtLimit { add(Self.cpuTimeLimit, used) }
    }
}
