import CgroupSandbox
import Cgroups
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

/// A job while it runs: watched, frozen, changed.
extension Behaviour.Jobs {
    @Test func aLiveJobCanBeWatchedAndSteered() async throws {
        let job = try Job.start(shell("trap 'exit 9' USR1; sleep 100 & wait"))
        // The kernel lets the launcher go on a moment before it gives the process its new name.
        try eventually("the shell") { ProcessTable.commandName(job.pid) == "sh" }
        #expect(job.cgroupPath.hasSuffix(job.id))
        #expect(job.report == nil)
        try eventually("the child") { marker.survivors.contains { $0.command == "sleep" } }
        #expect(try await job.freeze())
        #expect((job.statistics().cpuUsageMicroseconds ?? 0) > 0)
        try job.signal(.user1)
        pause(.milliseconds(30))
        #expect(job.report == nil, "a frozen process handles no signal")
        try job.thaw()
        let report = await job.waitForEnd()
        #expect(report.exitCode == 9)
        #expect(job.report == report)
        #expect(
            job.statistics().cpuUsageMicroseconds == report.cpu.usageSeconds.map { UInt64(($0 * 1e6).rounded()) })
        // A job that is over takes anything.
        try job.signal(.terminate)
        try job.thaw()
        #expect(try await job.freeze())
        try job.update(limits: Limits())
        job.stop()
        job.kill()
        #expect(await job.waitForEnd() == report)
    }

    @Test func aFrozenJobCanBeStopped() async throws {
        for stop in [{ @Sendable (job: Job) in job.stop() }, { job in job.kill() }] {
            let job = try Job.start(shell("sleep 100"))
            _ = try await job.freeze()
            stop(job)
            #expect(await job.waitForEnd().termination.requestedBy == "caller")
        }
        try expectNothingLeft()
    }

    @Test(.enabled(if: Capability.has("--mem") && Capability.has("--pids"), "no memory and pids controllers"))
    func limitsCanBeChanged() async throws {
        var spec = try shell("read go; \(Programs.probe) child-allocate 60 ignore")
        spec.limits.memoryMax = .value(.bytes(512 << 20))
        spec.limits.pidsMax = .max
        let (_, result) = try await run(spec, input: .writer) { job in
            var limits = Limits()
            limits.memoryMax = .value(.bytes(1 << 30))
            limits.pidsMax = .value(100)
            try job.update(limits: limits)
            limits.memoryMax = .value(.bytes(32 << 20))
            try job.update(limits: limits)
            #expect((job.statistics().pids ?? 0) > 0)
            #expect((job.statistics().memoryBytes ?? 0) > 0)
            limits.pidsMax = .value(-3)
            #expect(throws: CgroupError.self) { try job.update(limits: limits) }
            try await job.write("go\n".utf8)
        }
        #expect(result.report.oomInTree, "the lowered limit holds")
        // And is the one that is told.
        #expect(result.report.limits.resources.memoryMax == .value(.bytes(32 << 20)))
        #expect(result.report.limits.resources.pidsMax == .value(100))
        #expect(result.report.limits.changedAt.map { $0 > result.report.startedAt } == true)
        #expect(result.report.evidence.contains { $0.source == "memory.events: oom_kill" })
        if Capability.isHybrid {
            let job = try Job.start(shell("sleep 100"))
            #expect(throws: CgroupError.self) { try job.update(limits: spec.limits) }
        }
    }

    @Test(.enabled(if: Capability.has("--mem"), "no memory controller"))
    func aDeathAtALoweredLimitIsItsOwn() async throws {
        var spec = try shell("read go; exec \(Programs.probe) allocate 200")
        spec.limits.memoryMax = .value(.bytes(512 << 20))
        let (_, result) = try await run(spec, input: .writer) { job in
            var limits = Limits()
            limits.memoryMax = .value(.bytes(32 << 20))
            try job.update(limits: limits)
            try await job.write("go\n".utf8)
        }
        #expect(result.report.cause == .oomOwnLimit)
        #expect(result.report.explanation?.contains(text: "its memory limit (32.0 MiB;") == true)
    }

    /// Whether a death in the tree spoils a command that went on is for the caller to say.
    @Test(.enabled(if: Capability.has("--mem"), "no memory controller"), arguments: [false, true])
    func anOOMKillSpoilsSuccessWhereAsked(_ fails: Bool) async throws {
        var spec = try shell("\(Programs.probe) child-allocate 100 ignore")
        spec.limits.memoryMax = .value(.bytes(32 << 20))
        spec.failsOnOOM = fails
        let result = try await run(spec, output: .discarded)
        #expect(result.terminationStatus == .exited(code: 0) && result.report.oomInTree)
        #expect(result.isSuccess == !fails)
    }

    /// What an update enables accounts for the job from then on.
    @Test(.enabled(if: Capability.isUnified && Capability.has("--pids"), "needs the pids controller of cgroup v2"))
    func anEnabledControllerIsRead() async throws {
        let job = try Job.start(shell("read go; exit 3"), input: .writer)
        var limits = Limits()
        limits.pidsMax = .value(50)
        try job.update(limits: limits)
        #expect(job.statistics().pids == 1)
        job.finishInput()
        let report = await job.waitForEnd()
        #expect(report.containment.controllers.contains("pids") && report.pids.peak != nil, "\(report)")
        #expect(report.limits.resources.pidsMax == .value(50))
    }

    @Test(.enabled(if: Capability.hasIOMax, "no io controller for this caller, or /var/tmp is on no disk"))
    func ratesCanBeChanged() async throws {
        var spec = JobSpec(["sleep", "100"])
        spec.limits.ioMax = [IOLimit(.path("/var/tmp"), [.readBytes: .value(1 << 20)])]
        let job = try Job.start(spec)
        var limits = Limits()
        for rate: Ceiling<UInt64> in [.value(5 << 20), .max, .value(1 << 30)] {
            limits.ioMax = [IOLimit(.path("/var/tmp"), [.readBytes: rate, .writeOperations: rate])]
            try job.update(limits: limits)
        }
        job.kill()
        #expect(await job.waitForEnd().termination.requestedBy == "caller")
        try expectNothingLeft()
    }

    @Test(.enabled(if: Capability.has("--mem") && Capability.has("--pids"), "no memory and pids controllers"))
    func eventsAreTold() async throws {
        var spec = try shell(
            "(for i in 1 2 3 4 5 6 7 8; do sleep 0.2 & done; wait); sleep 0.5; "
                + "exec \(Programs.probe) child-allocate 100 ignore")
        spec.limits.memoryMax = .value(.bytes(32 << 20))
        spec.limits.pidsMax = .value(5)
        let (events, report) = try await run(spec) { job in
            var events: [JobEvent] = []
            for await event in job.events { events.append(event) }
            return events
        }
        #expect(events.first == .populated(true))
        #expect(events.last == .populated(false))
        #expect(events.contains { if case .processesRefused = $0 { true } else { false } }, "\(events)")
        #expect(events.contains { if case .oomKill = $0 { true } else { false } }, "\(events) \(report)")
    }

    /// Some kernels have the files, and take no triggers.
    private static let hasPSI =
        (try? Descriptor(opening: "/proc/pressure/cpu", O_RDWR).write("some 150000 2000000", path: "")) != nil

    @Test(.enabled(if: hasPSI, "no PSI triggers for this user"))
    func pressureIsTold() async throws {
        let job = try Job.start(shell("for i in 1 2 3 4; do (while :; do :; done) & done; wait"))
        let threshold = PressureThreshold(.cpu, stall: .milliseconds(50), window: .seconds(2))
        for await event in try job.events(pressure: [threshold]) where event == .pressure(threshold) { break }
        let wrong = PressureThreshold(.cpu, stall: .seconds(100), window: .milliseconds(1))
        #expect(throws: SystemError.self) { _ = try job.events(pressure: [wrong]) }
        job.kill()
        _ = await job.waitForEnd()
    }
}
