import CgroupSandbox
import Cgroups
import LinuxSystem
import SystemPackage
import TestSupport
import Testing

extension Behaviour {
    /// Terminals of the concurrent library's jobs.
    @Suite(
        .onRealMachines,
        .enabled(if: Capability.mayMakeCgroups, "a program's jobs are directories below its own cgroup"))
    struct PseudoTerminalJobs {
        let marker = Marker()

        var environment: Environment { .inherit.updating([Marker.variable: marker.text, "PATH": "/usr/bin:/bin"]) }

        private var settings: PseudoTerminal.Settings {
            var settings = PseudoTerminal.Settings(columns: 100, rows: 30)
            (settings.echoesInput, settings.processesOutput) = (false, false)
            return settings
        }

        private func spec(_ command: String, _ arguments: String...) throws -> JobSpec {
            var spec = try JobSpec(.name(command), arguments: Arguments(arguments), environment: environment)
            spec.terminal = settings
            return spec
        }

        @Test func runsAProgramThatWantsATerminal() async throws {
            let result = try await run(
                .path(Programs.probe), arguments: ["terminal"], environment: environment, terminal: .init(),
                output: .string(limit: 100))
            #expect(result.standardOutput == "size 80x24\r\nand errors\r\n")
            #expect(result.isSuccess)
        }

        /// Some of them are over before their launch has returned.
        @Test func shortJobsKeepTheirOutput() async throws {
            let outputs = try await withThrowingTaskGroup(of: String.self) { group in
                for number in 0..<100 {
                    group.addTask {
                        try await run(spec("echo", "\(number)"), output: .string(limit: 100)).standardOutput
                    }
                }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(outputs == Set((0..<100).map { "\($0)\n" }))
        }

        @Test func inputIsTyped() async throws {
            let text = String(repeating: "line\n", count: 20_000)
            #expect(
                try await run(spec("cat"), input: .string(text), output: .string(limit: 1 << 20)).standardOutput == text
            )
            #expect(try await run(spec("cat"), output: .string(limit: 100)).standardOutput == "")
            let partial = try await run(
                spec("cat"), input: .string("part"), output: .string(limit: 100), error: .combinedWithOutput)
            #expect(partial.standardOutput == "part")
        }

        @Test func canBeTalkedToAndResized() async throws {
            let (answers, result) = try await run(spec(Programs.probe, "window", "1"), input: .writer) { job in
                var text = ""
                for await piece in job.standardOutput {
                    text += String(decoding: piece, as: UTF8.self)
                    if text == "size 100x30\n" { try job.resize(to: .init(columns: 7, rows: 5)) }
                }
                return text
            }
            #expect(answers == "size 100x30\nsize 7x5\n")
            #expect(result.isSuccess)

            let (echo, _) = try await run(spec("cat"), input: .writer) { job in
                var output = job.standardOutput.makeAsyncIterator()
                try await job.write("one\n".utf8)
                let first = await output.next()
                job.finishInput()
                #expect(await output.next() == nil)
                return first
            }
            #expect(echo == Array("one\n".utf8))
        }

        @Test func outputIsBounded() async throws {
            let result = try await run(spec("sh", "-c", "yes | head -c 3000000; exit 3"), output: .bytes(limit: 1_000))
            #expect(result.standardOutput.count == 1_000 && result.isOutputTruncated)
            #expect(result.terminationStatus == .exited(code: 3), "the command was not held up")
            let all = try await run(spec("head", "-c", "300000", "/dev/zero"), output: .bytes(limit: 300_000))
            #expect(all.standardOutput.count == 300_000 && !all.isOutputTruncated)
        }

        @Test func aStrayThatHoldsTheTerminalHoldsNobodyUp() async throws {
            let before = BootTime.now
            let result = try await run(
                spec("sh", "-c", "\(Programs.probe) plant 3; (setsid sleep 100 &); echo end"),
                output: .string(limit: 100))
            #expect(result.standardOutput == "planted 3\nend\n")
            #expect(result.report.straysKilled)
            #expect(BootTime.now - before < .seconds(5) * patience)
        }

        @Test(.enabled(if: Capability.isRoot, "only root may move a process out"))
        func aWriterOutsideTheJobHoldsNobodyUp() async throws {
            let script = "trap '' HUP; yes & echo $! > \(TestCgroups.filePathOfParent) && exit 3"
            let result = try await run(spec("sh", "-c", script), output: .bytes(limit: 10))
            #expect(result.terminationStatus == .exited(code: 3))
            // Its terminal is gone, and so it ends without being asked.
            try eventually("no yes") { !marker.survivors.contains { $0.command == "yes" } }
        }

        @Test func whatMakesNoSenseIsRefused() async throws {
            let null = try FileDescriptor.open("/dev/null", .readWrite)
            let file = JobInput.fileDescriptor(null, closeAfterSpawningProcess: true)
            await #expect(throws: LaunchError.self) { try await run(spec("true"), input: file, output: .discarded) }
            #expect(!isOpen(null.rawValue))
            let error = await #expect(throws: LaunchError.self) {
                try await run(spec("true"), output: .discarded, error: .string(limit: 1))
            }
            #expect(error?.kind == .invalid)
            await #expect(throws: LaunchError.self) {
                try await run(spec("true"), output: .fileDescriptor(.standardOutput))
            }
            var plain = try spec("sleep", "0.1")
            plain.terminal = nil
            try await run(plain) { job in
                #expect(throws: SystemError.self) { try job.resize(to: .init(columns: 1, rows: 1)) }
            }
        }

        @Test func leavesNoDescriptorBehind() async throws {
            _ = try await run(spec("true"), output: .discarded)
            let before = openDescriptorCount
            var jobs: [Job] = []
            for _ in 0..<20 {
                jobs.append(try Job.start(spec("true"), input: .string("x"), output: .captured(limit: 1)))
                _ = await jobs.last?.waitForEnd()
            }
            // The event loop may still be at the last one.
            try eventually("\(openDescriptorCount) descriptors, \(before) before") { openDescriptorCount <= before }
            _ = jobs
            let job = try await run(spec(Programs.probe, "descriptors"), output: .string(limit: 100))
            #expect(job.standardOutput == "0\n1\n2\n")
        }
    }
}
