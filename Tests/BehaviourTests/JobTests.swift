import CgroupSandbox
import Cgroups
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

        func shell(_ script: String) throws -> JobSpec {
            try JobSpec(.name("sh"), arguments: ["-c", script], environment: environment)
        }

        /// What the guard outlives it for is not this test's.
        func expectNothingLeft() throws {
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
    }
}

extension Array {
    fileprivate func repeated(_ count: Int) -> [Element] { (0..<count).flatMap { _ in self } }
}

extension Hierarchies {
    /// This process's own cgroup v2.
    fileprivate var absolutePath: String { ownPath == "/" ? mount : mount + (ownPath ?? "") }
}
