import CgroupSandbox
import Cgroups
import FoundationEssentials
import Glibc
import LinuxSystem
import SandboxValues
import SystemPackage
import TestSupport
import Testing

extension Behaviour {
    /// The concurrent side of the library, in this very process.
    @Suite(.enabled(if: Capability.mayMakeCgroups, "a program's jobs are directories below its own cgroup"))
    struct Jobs {
        let marker = Marker()

        var environment: Environment { .inherit.updating([Marker.variable: marker.text, "PATH": "/usr/bin:/bin"]) }

        private func shell(_ script: String) throws -> JobSpec {
            try JobSpec(.name("sh"), arguments: ["-c", script], environment: environment)
        }

        /// What the guard outlives it for is not this test's.
        private func expectNothingLeft() throws {
            try eventually("left: \(marker.survivors), \(TestCgroups.jobs)") {
                marker.survivors.allSatisfy { $0.command == "cgrun-guard" } && TestCgroups.jobs.isEmpty
            }
        }

        // MARK: Running

        @Test func runsACommand() async throws {
            let result = try await run(
                .name("sh"), arguments: ["-c", "echo $0 $1; pwd; echo bad >&2; exit 3", "a b", "c"],
                environment: environment, workingDirectory: "/usr", output: .string(limit: 100),
                error: .string(limit: 100))
            #expect(result.standardOutput == "a b c\n/usr\n")
            #expect(result.standardError == "bad\n")
            #expect(result.terminationStatus == .exited(code: 3))
            #expect(!result.isSuccess && !result.isOutputTruncated && !result.isErrorTruncated)
            #expect(result.report.cause == .nonzeroExit)
            #expect(marker.survivors.allSatisfy { $0.command == "cgrun-guard" })
            #expect(TestCgroups.jobs.isEmpty, "nothing is left once run returns")
        }

        /// Servers ignore SIGTERM and SIGPIPE to learn of them in other ways.
        @Test func whatThisProgramIgnoresReachesTheCommand() async throws {
            let before = Glibc.signal(SIGUSR2, SIG_IGN)
            defer { _ = Glibc.signal(SIGUSR2, before) }
            var spec = try JobSpec(.path(Programs.probe), arguments: ["signals"], environment: environment)
            #expect(try await run(spec, output: .string(limit: 1_000)).standardOutput.isEmpty)
            spec.keepsIgnoredSignals = true
            #expect(try await run(spec, output: .string(limit: 1_000)).standardOutput.contains("ignored 12"))
        }

        @Test func outputIsBounded() async throws {
            let result = try await run(
                shell("yes | head -c 3000000; yes | head -c 10 >&2; echo end"), output: .bytes(limit: 1_000),
                error: .string(limit: 0))
            #expect(result.standardOutput == Array("y\n".utf8).repeated(500))
            #expect(result.isOutputTruncated)
            #expect(result.isSuccess, "the command was not held up")
            let all = try await run(shell("head -c 300000 /dev/zero"), output: .bytes(limit: 300_000))
            #expect(all.standardOutput.count == 300_000 && !all.isOutputTruncated)
        }

        @Test func inputComesFromMemoryAndFiles() async throws {
            let text = String(repeating: "0123456789", count: 20_000)
            let result = try await run(shell("cat"), input: .string(text), output: .string(limit: 1_000_000))
            #expect(result.standardOutput == text)
            let ignored = try await run(shell("exit 0"), input: .string(text), output: .discarded)
            #expect(ignored.isSuccess)
            let file = try FileDescriptor.open("/etc/hostname", .readOnly)
            let read = try await run(
                shell("cat"), input: .fileDescriptor(file, closeAfterSpawningProcess: true),
                output: .string(limit: 1_000))
            #expect(read.standardOutput == (try readTextFile("/etc/hostname")))
            #expect(!isOpen(file.rawValue))
            let none = try await run(shell("cat; readlink /proc/self/fd/0"), output: .string(limit: 100))
            #expect(none.standardOutput == "/dev/null\n")
        }

        @Test func errorsCanGoWhereTheOutputGoes() async throws {
            let result = try await run(
                shell("echo 1; echo 2 >&2; echo 3"), output: .string(limit: 100), error: .combinedWithOutput)
            #expect(result.standardOutput == "1\n2\n3\n")
        }

        @Test func outputIsASequence() async throws {
            let (lines, result) = try await run(shell("for i in 1 2 3; do echo $i; sleep 0.02; done")) { job in
                var text = ""
                for await piece in job.standardOutput { text += String(decoding: piece, as: UTF8.self) }
                return text
            }
            #expect(lines == "1\n2\n3\n")
            #expect(result.isSuccess)
        }

        @Test func inputCanBeWrittenBitByBit() async throws {
            let (echo, result) = try await run(shell("cat"), input: .writer) { job in
                var answers: [String] = []
                var output = job.standardOutput.makeAsyncIterator()
                for word in ["one", "two"] {
                    try await job.write(word.utf8)
                    answers.append(String(decoding: await output.next() ?? [], as: UTF8.self))
                }
                job.finishInput()
                #expect(await output.next() == nil)
                await #expect(throws: SystemError.self) { try await job.write("late".utf8) }
                return answers
            }
            #expect(echo == ["one", "two"])
            #expect(result.isSuccess)
        }

        @Test func writingToACommandThatDoesNotReadEndsNobody() async throws {
            try await run(shell("exec <&-; sleep 0.2"), input: .writer) { job in
                await #expect(throws: SystemError.self) {
                    for _ in 0..<100 { try await job.write([UInt8](repeating: 0, count: 100_000)) }
                }
            }
        }

        @Test func outputThatNobodyReadsHoldsNobodyUp() async throws {
            let (_, result) = try await run(shell("yes | head -c 1000000"), output: .sequence, error: .sequence) { _ in
            }
            #expect(result.isSuccess)
        }

        @Test func aStrayThatHoldsThePipeHoldsNobodyUp() async throws {
            let before = BootTime.now
            let result = try await run(
                shell("\(Programs.probe) plant 3; (setsid sleep 100 &); echo end"), output: .string(limit: 100))
            #expect(result.standardOutput == "planted 3\nend\n")
            #expect(result.report.straysKilled)
            #expect(BootTime.now - before < .seconds(5))
            try expectNothingLeft()
        }

        @Test(.enabled(if: Capability.isRoot, "only root may move a process out"))
        func aWriterOutsideTheJobHoldsNobodyUp() async throws {
            let outside = try Hierarchies.current()
            let path = outside.absolutePath + "/cgroup.procs"
            let result = try await run(
                shell("sleep 30 & echo $! > \(path) && echo $!"), output: .string(limit: 100))
            let moved = result.standardOutput.split(separator: "\n").compactMap { ProcessID($0) }
            try #require(moved.count == 1, "\(result.standardOutput)")
            // The test goes by the pid: the shell's child may not have executed sleep yet.
            try ProcessDescriptor(pid: moved[0]).send(.kill)
            try expectNothingLeft()
        }

        // MARK: Ending

        @Test func cancellingStopsTheJob() async throws {
            let task = Task { try await run(shell("trap '' TERM; sleep 100 & sleep 100"), output: .discarded) }
            let deadline = BootTime.now + .seconds(10) * patience
            while !marker.survivors.contains(where: { $0.command == "sleep" }) {
                try #require(BootTime.now < deadline, "a job")
                // With one processor the task needs this thread to start.
                try await Task.sleep(for: .milliseconds(5))
            }
            let started = BootTime.now
            task.cancel()
            let result = try await task.value
            #expect(result.report.cause == .cancelled)
            #expect(result.report.termination.escalated)
            #expect(BootTime.now - started > .seconds(4), "after the grace")
            try expectNothingLeft()
            let late = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                _ = try await run(shell("true"), output: .discarded)
            }
            await #expect(throws: LaunchError(.cancelled, "the task was cancelled before the job could start")) {
                try await late.value
            }
        }

        @Test func aBodyThatThrowsStopsTheJob() async throws {
            struct Failure: Error {}
            await #expect(throws: Failure.self) {
                try await run(shell("sleep 100")) { _ in throw Failure() }
            }
            try expectNothingLeft()
        }

        @Test func aHandleThatIsDroppedStopsTheJob() async throws {
            func drop() throws { _ = try Job.start(shell("sleep 100 & sleep 100"), output: .captured(limit: 10)) }
            try drop()
            try expectNothingLeft()
        }

        @Test func timeLimitsHold() async throws {
            var spec = try shell("sleep 100")
            spec.timeout = .milliseconds(50)
            #expect(try await run(spec, output: .discarded).report.cause == .timeoutWall)
            spec = try shell("while :; do :; done")
            spec.cpuTimeout = .milliseconds(50)
            #expect(try await run(spec, output: .discarded).report.cause == .timeoutCPU)
            // A signal that means nothing to a program that does not ask for it, from its first moment on.
            spec = try shell("while :; do :; done")
            (spec.timeout, spec.grace, spec.stopSignal) = (.milliseconds(100), .milliseconds(50), .windowChange)
            let stubborn = try await run(spec, output: .discarded)
            #expect(stubborn.report.cause == .timeoutWall && stubborn.report.termination.escalated)
            try expectNothingLeft()
        }

        // MARK: While it runs

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

        // MARK: Hostile input

        @Test func nonsenseIsRefusedWithTypedErrors() async throws {
            // The parents of cgroups with these limits stay open from the first use on.
            for limits in [Limits(), .memory, .pids] {
                var spec = try shell("true")
                spec.limits = limits
                _ = try? await run(spec, output: .discarded)
            }
            let before = openDescriptorCount
            func kind(_ spec: @autoclosure () throws(LaunchError) -> JobSpec) async -> LaunchError.Kind? {
                do throws(LaunchError) {
                    _ = try await run(spec(), output: .string(limit: .max), error: .bytes(limit: .min))
                    return nil
                } catch { return error.kind }
            }
            func spec(_ change: (inout JobSpec) -> Void) throws(LaunchError) -> JobSpec {
                var spec = try JobSpec(.path("/bin/true"))
                change(&spec)
                return spec
            }
            #expect(await kind(JobSpec([])) == .invalid)
            #expect(await kind(try JobSpec(.name(""))) == .notFound)
            #expect(await kind(try JobSpec(.name("a\0b"))) == .invalid)
            #expect(await kind(try JobSpec(.name("true"), arguments: ["a\0b"])) == .invalid)
            #expect(await kind(try JobSpec(.name("true"), arguments: Arguments(bytes: [[0]]))) == .invalid)
            #expect(await kind(try JobSpec(.name("true"), environment: .custom(["a=b": "c"]))) == .invalid)
            #expect(await kind(try JobSpec(.name("true"), environment: .custom(["": "c"]))) == .invalid)
            #expect(await kind(try JobSpec(.name("true"), environment: .custom(["a": "\0"]))) == .invalid)
            #expect(await kind(try JobSpec(.name("no such command"))) == .notFound)
            #expect(await kind(try JobSpec(.path("/"))) == .notExecutable)
            #expect(await kind(try JobSpec(.path("nowhere/x"))) == .notFound)
            let large = Arguments(bytes: [[UInt8]](repeating: [UInt8](repeating: 1, count: 100_000), count: 100))
            #expect(await kind(try JobSpec(.path("/bin/true"), arguments: large)) == .notExecutable)
            #expect(await kind(try spec { $0.workingDirectory = "/no/such/directory" }) == .setup)
            #expect(await kind(try spec { $0.cgroupParent = "/no/such/cgroup" }) == .setup)
            #expect(await kind(try spec { $0.cgroupParent = "\0" }) == .setup)
            #expect(await kind(try spec { $0.limits.memoryMax = .value(.bytes(.max)) }) == .setup)
            for count in [.min, -2, 0, .max] {
                #expect(await kind(try spec { $0.limits.pidsMax = .value(count) }) == .invalid, "\(count)")
            }
            for processors: Set<Int> in [[], [-1], [.max]] {
                var cpuset = try CPUSet(parsing: "0")
                cpuset.processors = processors
                #expect(await kind(try spec { $0.limits.cpuset = cpuset }) == .invalid, "\(processors)")
            }
            let tiny = await kind(try spec { $0.limits.memoryMax = .value(.bytes(0)) })
            #expect(tiny == nil || tiny == .setup || tiny == .notExecutable)
            #expect(await kind(try spec { $0.timeout = .seconds(Int64.max) }) == nil)
            #expect(await kind(try spec { $0.timeout = .seconds(Int64.min) }) == nil)
            #expect(await kind(try spec { $0.cpuTimeout = .zero }) == nil)
            #expect(await kind(try spec { $0.grace = .seconds(-5) }) == nil)
            #expect(await kind(try spec { $0.stopSignal = Signal(rawValue: 999) }) == nil)
            #expect(await kind(try spec { $0.environment = ["no assignment", "="] }) == nil)
            #expect(await kind(try JobSpec(.path("/bin/true"), arguments: Arguments(bytes: [[0xff, 0xfe]]))) == nil)
            // The loop's timer serves all jobs, and this one needs it: its tree outlives its command.
            let later = try await run(shell("sleep 100 & exit 0"), output: .discarded)
            #expect(later.report.straysKilled)
            let closed = FileDescriptor(rawValue: 987)
            await #expect(throws: LaunchError.self) {
                try await run(shell("true"), input: .fileDescriptor(closed), output: .discarded)
            }
            await #expect(throws: LaunchError.self) {
                try await run(
                    shell("true"),
                    output: .fileDescriptor(FileDescriptor(rawValue: -1), closeAfterSpawningProcess: true))
            }
            let job = try Job.start(shell("sleep 100"))
            #expect(throws: SystemError.self) { try job.signal(Signal(rawValue: 12_345)) }
            #expect(throws: SystemError.self) { try job.signal(Signal(rawValue: -1)) }
            await #expect(throws: SystemError.self) { try await job.write([1]) }
            job.finishInput()
            for await _ in job.standardOutput { Issue.record("output of a job without") }
            job.kill()
            _ = await job.waitForEnd()
            #expect(openDescriptorCount == before, "\(openDescriptors)")
            try expectNothingLeft()
        }

        @Test func wantOfDescriptorsIsAnErrorAndPasses() async throws {
            let warm = try await run(shell("true"), output: .discarded)
            #expect(warm.isSuccess)
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(7), &limit)
            var low = limit
            low.rlim_cur = rlim_t(openDescriptorCount + 8)
            setrlimit(__rlimit_resource_t(7), &low)
            defer { setrlimit(__rlimit_resource_t(7), &limit) }
            let job = try Job.start(shell("sleep 100"))
            var failures = 0
            var holders: [CInt] = []
            while true {
                let copy = dup(0)
                if copy < 0 { break }
                holders.append(copy)
            }
            // Handed over, it is closed even so.
            let given = holders.removeLast()
            #expect(throws: LaunchError.self) {
                try Job.start(
                    shell("true"),
                    input: .fileDescriptor(FileDescriptor(rawValue: given), closeAfterSpawningProcess: true),
                    output: .captured(limit: 1))
            }
            #expect(!isOpen(given))
            for holder in holders {
                do { _ = try await run(shell("true"), output: .string(limit: 1)) } catch is LaunchError {
                    failures += 1
                }
                close(holder)
            }
            #expect(failures > 0)
            setrlimit(__rlimit_resource_t(7), &limit)
            #expect(try await run(shell("true"), output: .discarded).isSuccess)
            job.kill()
            _ = await job.waitForEnd()
            try expectNothingLeft()
        }
    }
}

extension Array {
    fileprivate func repeated(_ count: Int) -> [Element] { (0..<count).flatMap { _ in self } }
}

private var openDescriptors: [String] {
    (0..<200).compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)") }
}

extension Limits {
    fileprivate static var memory: Limits {
        var limits = Limits()
        limits.memoryMax = .value(.bytes(1 << 30))
        return limits
    }
    fileprivate static var pids: Limits {
        var limits = Limits()
        limits.pidsMax = .value(100)
        return limits
    }
}

extension Hierarchies {
    /// This process's own cgroup v2.
    fileprivate var absolutePath: String { ownPath == "/" ? mount : mount + (ownPath ?? "") }
}
