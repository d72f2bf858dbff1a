import Cgroups
import LinuxSystem
import SandboxValues
import Testing

@testable import CgroupSandbox

/// Swift Testing has one of this name, too.
typealias End = LinuxSystem.ExitStatus

/// The end of a job, said briefly, and what was asked for.
struct Case {
    var end = JobEnd()
    var memoryLimit: ByteCount?
    var failsOnOOM = false
}

extension Diagnosis {
    init(_ given: Case) { self.init(given.end, memoryLimit: given.memoryLimit, failsOnOOM: given.failsOnOOM) }
}

func facts(
    _ status: End?, stop: StopReason? = nil, forwarded: [Signal] = [], terminal: [Signal] = [],
    events: [(String, UInt64)]? = nil, local: [(String, UInt64)]? = nil, refusedForks: UInt64? = nil,
    memoryLimit: UInt64? = nil, peak: UInt64? = nil,
    memoryLimitAbove: String? = nil, pidsLimitAbove: String? = nil, failsOnOOM: Bool = false, treeIsLeft: Bool = false
) -> Case {
    var given = Case(memoryLimit: memoryLimit.map(ByteCount.init), failsOnOOM: failsOnOOM)
    given.end.status = status
    given.end.stop = stop.map { Stop(reason: $0) }
    given.end.signals = SignalLog(forwarded: forwarded, fromTerminal: terminal)
    given.end.statistics.memoryEvents = events.map(EventCounts.init)
    given.end.statistics.memoryEventsLocal = local.map(EventCounts.init)
    given.end.statistics.pidsRefusedForks = refusedForks
    given.end.statistics.memoryPeakBytes = peak
    given.end.memoryLimitAbove = memoryLimitAbove
    given.end.pidsLimitAbove = pidsLimitAbove
    given.end.wallTime = status.map { _ in .seconds(1) }
    given.end.emptyAfter = treeIsLeft ? nil : .zero
    return given
}

extension End {
    static func exit(_ code: CInt) -> End { .exited(code: code) }
    static func killed(by signal: Signal) -> End { .signaled(signal, coreDumped: false) }
}

@Suite struct EndTests {
    @Test(arguments: CInt(0)...255) func exitCodesAreTheirOwn(_ code: CInt) {
        let diagnosis = Diagnosis(facts(.exit(code)))
        #expect(diagnosis.result == .exited)
        #expect(diagnosis.exitCode == code)
        #expect(diagnosis.signal == nil)
        #expect(diagnosis.launcherExitCode == code)
        #expect(diagnosis.cause == (code == 0 ? .normal : .nonzeroExit))
        #expect(diagnosis.confidence == .certain)
    }

    @Test(arguments: CInt(1)...64) func signalsAre128More(_ number: CInt) {
        let diagnosis = Diagnosis(facts(.killed(by: Signal(rawValue: number))))
        #expect(diagnosis.result == .signaled)
        #expect(diagnosis.exitCode == nil)
        #expect(diagnosis.signal?.rawValue == number)
        #expect(diagnosis.launcherExitCode == 128 + number)
        #expect(diagnosis.cause == .signalOther)
        #expect(!diagnosis.coreDumped)
    }

    @Test func coreDumpsAreTold() {
        let diagnosis = Diagnosis(facts(.signaled(.abort, coreDumped: true)))
        #expect(diagnosis.result == .dumped)
        #expect(diagnosis.coreDumped)
        #expect(diagnosis.launcherExitCode == 134)
    }

    /// nomad#12735, kubernetes#19825: 137 alone says nothing about memory.
    @Test func exit137IsNoSignalAndNoOOM() {
        let diagnosis = Diagnosis(facts(.exit(137)))
        #expect(diagnosis.result == .exited)
        #expect(diagnosis.cause == .nonzeroExit)
        #expect(!diagnosis.oomInTree)
        #expect(Diagnosis(facts(.killed(by: .kill))).cause == .signalOther)
    }

    @Test func aLostCommandIsUnknown() {
        let diagnosis = Diagnosis(facts(nil))
        #expect(diagnosis.result == .unknown)
        #expect(diagnosis.cause == .unknown)
        #expect(diagnosis.launcherExitCode == 125)
    }

    @Test func theUnkillableFail() {
        #expect(Diagnosis(facts(.exit(0), treeIsLeft: true)).launcherExitCode == 125)
        #expect(Diagnosis(facts(.killed(by: .kill), stop: .timeoutWall, treeIsLeft: true)).launcherExitCode == 125)
    }
}

@Suite struct StopTests {
    static let stops: [(StopReason, Report.Cause, String)] = [
        (.timeoutWall, .timeoutWall, "timeout"), (.timeoutCPU, .timeoutCPU, "cpu_timeout"),
        (.caller, .signalForwarded, "caller"), (.parentLost, .parentLost, "parent_lost"),
        (.launcherLost, .launcherLost, "launcher_lost"), (.guardLost, .guardLost, "guard_lost"),
    ]

    /// What cgrun did itself beats whatever could be inferred, an OOM kill among it.
    @Test(arguments: stops)
    func ownDoingBeatsInference(_ stop: StopReason, _ cause: Report.Cause, _ requestedBy: String) {
        let oom: [(String, UInt64)] = [("oom", 1), ("oom_kill", 1)]
        let ends = [End.exit(0), .exit(1), .killed(by: .kill), .killed(by: .terminate)]
        for status in stop.isGraceful ? ends : Array(ends.dropFirst(2)) {
            let diagnosis = Diagnosis(
                facts(status, stop: stop, forwarded: [.terminate], events: oom, local: oom, refusedForks: 4))
            #expect(diagnosis.cause == cause)
            #expect(diagnosis.confidence == .certain)
            #expect(diagnosis.evidence.first == Report.Evidence(source: "cgrun", value: requestedBy))
            #expect(diagnosis.oomInTree)
        }
    }

    /// Whoever could still exit was not killed by the loss that came at the same moment.
    @Test(arguments: [StopReason.parentLost, .guardLost]) func exitBeatsALoss(_ stop: StopReason) {
        #expect(Diagnosis(facts(.exit(0), stop: stop)).cause == .normal)
        #expect(Diagnosis(facts(.exit(3), stop: stop)).cause == .nonzeroExit)
    }

    @Test(arguments: [StopReason.timeoutWall, .timeoutCPU]) func timeoutsAre124(_ stop: StopReason) {
        #expect(Diagnosis(facts(.exit(0), stop: stop)).launcherExitCode == 124)
        #expect(Diagnosis(facts(.killed(by: .kill), stop: stop)).launcherExitCode == 124)
        #expect(Diagnosis(facts(.killed(by: .kill), stop: stop, failsOnOOM: true)).launcherExitCode == 124)
    }

    /// A command that was asked to end may end well.
    @Test func otherStopsKeepTheCommandsStatus() {
        for stop in [StopReason.caller, .parentLost, .guardLost] {
            #expect(Diagnosis(facts(.exit(0), stop: stop)).launcherExitCode == 0)
            #expect(Diagnosis(facts(.exit(3), stop: stop)).launcherExitCode == 3)
            #expect(Diagnosis(facts(.killed(by: .terminate), stop: stop)).launcherExitCode == 143)
        }
        #expect(Diagnosis(facts(nil, stop: .launcherLost)).result == .unknown)
    }

    @Test func onlyRequestsAndTimeoutsAreGraceful() {
        let graceful = Self.stops.filter { $0.0.isGraceful }.map(\.0)
        #expect(graceful == [.timeoutWall, .timeoutCPU, .caller])
    }
}

@Suite struct OOMTests {
    static let own: [(String, UInt64)] = [("max", 9), ("oom", 1), ("oom_kill", 1)]

    @Test func ownLimitIsLikely() {
        let diagnosis = Diagnosis(facts(.killed(by: .kill), events: Self.own, local: Self.own))
        #expect(diagnosis.cause == .oomOwnLimit)
        #expect(diagnosis.confidence == .likely)
        #expect(diagnosis.oomInTree)
        #expect(diagnosis.launcherExitCode == 137)
        #expect(diagnosis.evidence.map(\.source).contains("memory.events: oom_kill"))
        #expect(diagnosis.evidence.map(\.source).contains("memory.events.local: oom"))
    }

    @Test func aGroupKillIsCertain() {
        let local = Self.own + [("oom_group_kill", 1)]
        let diagnosis = Diagnosis(facts(.killed(by: .kill), events: local, local: local))
        #expect(diagnosis.cause == .oomOwnLimit)
        #expect(diagnosis.confidence == .certain)
    }

    /// containerd#12133: a kill without the job's own limit being met is somebody else's.
    @Test func anAncestorsLimit() {
        let counts: [(String, UInt64)] = [("max", 0), ("oom", 0), ("oom_kill", 1)]
        let diagnosis = Diagnosis(
            facts(.killed(by: .kill), events: counts, local: counts, memoryLimitAbove: "/sys/fs/cgroup/a: 1048576"))
        #expect(diagnosis.cause == .oomAncestor)
        #expect(diagnosis.confidence == .likely)
        #expect(
            diagnosis.evidence.contains(
                Report.Evidence(source: "memory.max above the job", value: "/sys/fs/cgroup/a: 1048576")))
    }

    @Test func theSystem() {
        let counts: [(String, UInt64)] = [("max", 0), ("oom", 0), ("oom_kill", 1)]
        #expect(Diagnosis(facts(.killed(by: .kill), events: counts, local: counts)).cause == .oomSystem)
        // Own pages were reclaimed at the limit, but that is not what killed.
        let reclaimed: [(String, UInt64)] = [("max", 5), ("oom", 0), ("oom_kill", 1)]
        #expect(Diagnosis(facts(.killed(by: .kill), events: reclaimed, local: reclaimed)).cause == .oomSystem)
    }

    /// The unit was stopped, and the cgroup removed, after the first of its files was read.
    @Test func whatTellsTheLimitIsGone() {
        func cause(limit: UInt64?, ancestor: String? = nil) -> Report.Cause {
            let counts: [(String, UInt64)] = [("oom", 0), ("oom_kill", 4)]
            return Diagnosis(
                facts(
                    .killed(by: .kill), events: counts, local: nil, memoryLimit: limit, peak: nil,
                    memoryLimitAbove: ancestor)
            ).cause
        }
        #expect(cause(limit: 64 << 20) == .oomOwnLimit)
        #expect(cause(limit: nil, ancestor: "/x: 1") == .oomAncestor)
        #expect(cause(limit: nil) == .oomSystem)
    }

    /// A nested job's limit shows in the hierarchical counts only.
    @Test func aLimitBelow() {
        let diagnosis = Diagnosis(
            facts(
                .exit(1), events: [("oom", 1), ("oom_kill", 1)], local: [("oom", 0), ("oom_kill", 0)],
                memoryLimitAbove: "/x: 1"))
        #expect(diagnosis.cause == .oomOwnLimit)
    }

    /// v1 has no `oom` count: the peak must have met the limit, but for what processors charge in advance.
    @Test func hybridMachinesCompareThePeak() {
        func cause(limit: UInt64?, peak: UInt64?) -> Report.Cause {
            let counts: [(String, UInt64)] = [("oom_kill", 1)]
            return Diagnosis(
                facts(.killed(by: .kill), events: counts, local: counts, memoryLimit: limit, peak: peak)
            ).cause
        }
        #expect(cause(limit: 64 << 20, peak: 64 << 20) == .oomOwnLimit)
        #expect(cause(limit: 64 << 20, peak: 63 << 20) == .oomOwnLimit)
        #expect(cause(limit: 64 << 20, peak: 32 << 20) == .oomSystem)
        #expect(cause(limit: nil, peak: 64 << 20) == .oomSystem)
        #expect(cause(limit: 64 << 20, peak: nil) == .oomSystem)
    }

    /// kubernetes#100483: a child's death that the command passed on.
    @Test func aChildsDeath() {
        let shell = Diagnosis(facts(.exit(137), events: Self.own, local: Self.own))
        #expect(shell.cause == .oomOwnLimit)
        #expect(shell.confidence == .likely)
        #expect(shell.result == .exited)
        let other = Diagnosis(facts(.exit(1), events: Self.own, local: Self.own))
        #expect(other.cause == .oomOwnLimit)
        #expect(other.confidence == .possible)
        #expect(other.launcherExitCode == 1)
    }

    /// qiita#3521: success over a killed child.
    @Test func successWithALossIsNormalUnlessAsked() {
        let lenient = Diagnosis(facts(.exit(0), events: Self.own, local: Self.own))
        #expect(lenient.cause == .normal)
        #expect(lenient.oomInTree)
        #expect(lenient.launcherExitCode == 0)
        let strict = Diagnosis(facts(.exit(0), events: Self.own, local: Self.own, failsOnOOM: true))
        #expect(strict.launcherExitCode == 137)
        #expect(strict.exitCode == 0)
        // A failure of the command's own is told as it is.
        #expect(Diagnosis(facts(.exit(3), events: Self.own, local: Self.own, failsOnOOM: true)).launcherExitCode == 3)
        #expect(Diagnosis(facts(.exit(0), failsOnOOM: true)).launcherExitCode == 0)
    }

    /// Another signal than the kernel's own is not the OOM killer's.
    @Test func otherSignalsAreNotMemorys() {
        #expect(Diagnosis(facts(.killed(by: .abort), events: Self.own, local: Self.own)).cause == .signalOther)
        #expect(Diagnosis(facts(.killed(by: .terminate), events: Self.own, local: Self.own)).cause == .signalOther)
    }
}

@Suite struct SignalCauseTests {
    @Test func forwardedOrNot() {
        let forwarded = Diagnosis(facts(.killed(by: .interrupt), forwarded: [.user1, .interrupt]))
        #expect(forwarded.cause == .signalForwarded)
        #expect(forwarded.evidence.contains(Report.Evidence(source: "signal source", value: "forwarded by cgrun")))
        let other = Diagnosis(facts(.killed(by: .interrupt), forwarded: [.user1]))
        #expect(other.cause == .signalOther && other.confidence == .likely)
    }

    @Test func aStoppedUnit() {
        for status in [End.exit(0), .exit(3), .killed(by: .kill), .killed(by: .terminate)] {
            var given = facts(status)
            given.end.outsideStop = status == .killed(by: .kill) ? .killed : .asked
            let diagnosis = Diagnosis(given)
            #expect(diagnosis.cause == .unitStopped && diagnosis.confidence == .likely)
            given.end.stop = Stop(reason: .caller)
            #expect(Diagnosis(given).cause == .signalForwarded, "cgrun was asked as well")
        }
    }

    /// What the command had left was stopped: that does not explain the command's own end, but for a time limit.
    @Test func aStopAfterTheCommandsEnd() {
        for (reason, isCause) in [
            (StopReason.caller, false), (.cancelled, false), (.parentLost, false), (.timeoutWall, true),
            (.timeoutCPU, true),
        ] {
            var given = facts(.exit(3))
            given.end.stop = Stop(reason: reason, isForStrays: true)
            let diagnosis = Diagnosis(given)
            #expect(diagnosis.cause == (reason == .timeoutWall ? .timeoutWall : isCause ? .timeoutCPU : .nonzeroExit))
            #expect(diagnosis.launcherExitCode == (isCause ? 124 : 3))
            given.end.status = .killed(by: Signal(rawValue: 11))
            #expect(isCause || Diagnosis(given).cause == .signalOther)
        }
    }

    @Test func fromTheTerminal() {
        let diagnosis = Diagnosis(facts(.killed(by: .interrupt), terminal: [.interrupt]))
        #expect(diagnosis.cause == .signalOther)
        #expect(diagnosis.evidence.contains(Report.Evidence(source: "signal source", value: "terminal")))
        #expect(diagnosis.confidence == .certain)
    }

    @Test func atTheLimitOnCPUTime() {
        var killed = facts(.killed(by: .kill))
        killed.end.cpuTimeAtLimit = "0.9s of 1s"
        #expect(Diagnosis(killed).evidence.contains(Report.Evidence(source: "RLIMIT_CPU", value: "0.9s of 1s")))
        var crashed = facts(.killed(by: .abort))
        crashed.end.cpuTimeAtLimit = "0.9s of 1s"
        #expect(!Diagnosis(crashed).evidence.contains { $0.source == "RLIMIT_CPU" })
    }

    /// The finisher knows that both were lost, and not which of them was first.
    @Test func twoLossesAreLessCertain() {
        #expect(Diagnosis(facts(nil, stop: .parentLost)).confidence == .likely)
        #expect(Diagnosis(facts(nil, stop: .launcherLost)).confidence == .certain)
    }
}

@Suite struct PIDsCauseTests {
    @Test func refusedForksMakeAFailureLikely() {
        let diagnosis = Diagnosis(facts(.exit(1), refusedForks: 7))
        #expect(diagnosis.cause == .pidsLimit)
        #expect(diagnosis.confidence == .likely)
        #expect(diagnosis.evidence.contains(Report.Evidence(source: "pids.events: max", value: "7")))
    }

    /// Go and C++ abort for want of a thread.
    @Test func anAbortIsPossiblyTheirs() {
        let diagnosis = Diagnosis(facts(.killed(by: .abort), refusedForks: 1))
        #expect(diagnosis.cause == .pidsLimit)
        #expect(diagnosis.confidence == .possible)
    }

    @Test func successOrAnotherSignalIsNotTheirs() {
        #expect(Diagnosis(facts(.exit(0), refusedForks: 3)).cause == .normal)
        #expect(Diagnosis(facts(.killed(by: .terminate), refusedForks: 3)).cause == .signalOther)
        #expect(Diagnosis(facts(.exit(1), refusedForks: 0)).cause == .nonzeroExit)
    }

    /// v1 counts what was refused to the job, v2 what a limit above it has refused to anybody.
    @Test func aLimitAboveIsToldFromTheJobsOwn() {
        let above = "/sys/fs/cgroup/a: 12"
        let legacy = Diagnosis(facts(.exit(1), refusedForks: 7, pidsLimitAbove: above))
        #expect(legacy.cause == .pidsAncestor && legacy.confidence == .likely)
        let modern = Diagnosis(facts(.exit(1), refusedForks: 0, pidsLimitAbove: above))
        #expect(modern.cause == .pidsAncestor && modern.confidence == .possible)
        #expect(modern.evidence.contains(Report.Evidence(source: "pids.max above the job", value: above)))
        #expect(Diagnosis(facts(.killed(by: .abort), pidsLimitAbove: above)).cause == .pidsAncestor)
        #expect(Diagnosis(facts(.exit(0), pidsLimitAbove: above)).cause == .normal)
    }

    @Test func memoryComesFirst() {
        let oom: [(String, UInt64)] = [("oom", 1), ("oom_kill", 1)]
        #expect(Diagnosis(facts(.exit(137), events: oom, local: oom, refusedForks: 3)).cause == .oomOwnLimit)
    }
}
