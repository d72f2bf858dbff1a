import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// `--pty` where cgrun itself has no terminal, as below a daemon.
    @Suite(.onRealMachines) struct PseudoTerminals {
        let harness: Harness

        init() throws { harness = try Harness() }

        private func file(_ bytes: [UInt8]) throws -> Descriptor {
            let file = try Descriptor.memoryFile(name: "input")
            try file.write(bytes, path: "input")
            try file.rewind()
            return file
        }

        private func typed(_ text: String, into command: String...) throws -> Outcome {
            let input = try file(Array(text.utf8))
            return try harness.start([Programs.cgrun, "--pty", "--"] + command, standardInput: input.rawValue).end()
        }

        @Test func programsThatWantATerminalRun() throws {
            #expect(try harness.cgrun("--", Programs.probe, "terminal").exitCode == 101)
            let outcome = try harness.cgrun("--pty", "--", Programs.probe, "terminal")
            #expect(outcome.exitCode == 0)
            #expect(outcome.output == "size 80x24\nand errors\n")
            #expect(outcome.errors == "")
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.isRoot, "only root may change users"))
        func belongsToTheUser() throws {
            let script = "test -O $(tty) && echo mine > $(tty)"
            #expect(try harness.cgrun("--pty", "--uid", "nobody", "sh", "-c", script).output == "mine\n")
        }

        @Test func inputIsTyped() throws {
            #expect(try typed("", into: "cat").output == "")
            #expect(try typed("one\ntwo\n", into: "cat").output == "one\ntwo\n")
            #expect(try typed("no line", into: "cat").output == "no line")
            let much = String(repeating: String(repeating: "x", count: 80) + "\n", count: 10_000)
            #expect(try typed(much, into: "cat").output == much)
            #expect(try typed(much, into: "head", "-n", "1").output == String(much.prefix(81)))
            try harness.expectNothingLeft()
        }

        @Test func exitStatusesAreThoseOfTheCommand() throws {
            #expect(try harness.cgrun("--pty", "--", "sh", "-c", "exit 7").exitCode == 7)
            #expect(try harness.cgrun("--pty", "--", Programs.probe, "die", "9").exitCode == 137)
            let missing = try harness.cgrun("--pty", "--", "/nonexistent/program")
            #expect(missing.exitCode == 127 && missing.errors.contains(text: "command not found"))
            let plan = try harness.cgrun("--pty", "--dry-run", "--", "true")
            #expect(plan.lines.contains("setsid, on a terminal of 80 columns and 24 rows"))
            try harness.expectNothingLeft()
        }

        @Test func noOtherDescriptorsAreHandedDown() throws {
            #expect(try harness.cgrun("--pty", "--", Programs.probe, "descriptors").lines == ["0", "1", "2"])
        }

        @Test func signalsArePassedOn() throws {
            let job = try harness.startCgrun(["--pty", "--", Programs.probe, "catch", "300"])
            try job.waitForOutput("ready")
            job.send(.user1)
            let outcome = try job.end()
            #expect(outcome.lines == ["ready", "got 10"] && outcome.exitCode == 0)
            try harness.expectNothingLeft()
        }

        @Test func straysDieAndWhatTheyWroteArrives() throws {
            let (outcome, report) = try harness.reported(
                "--pty", "--", "sh", "-c",
                "\(Programs.probe) plant 3; (setsid sh -c 'echo stray; sleep 1000' &); echo end")
            #expect(outcome.lines.contains("planted 3") && outcome.lines.contains("end"), "\(outcome.output)")
            #expect(report.straysKilled && report.cause == .normal)
            try harness.expectNothingLeft()
        }

        @Test func nothingOutlivesTheLauncher() throws {
            let job = try harness.startCgrun(["--pty", "--", Programs.probe, "tree", "3"])
            try job.waitForOutput("planted 3")
            job.send(.kill)
            _ = try job.end()
            try harness.expectNothingLeft()
        }

        // MARK: Readers

        @Test func everyByteArrivesAtASlowReader() throws {
            let size = 10_000_000 / patience
            var state: UInt32 = 1
            let bytes = (0..<size).map { _ in
                state = state &* 1_664_525 &+ 1_013_904_223
                return UInt8(truncatingIfNeeded: state >> 24)
            }
            let source = harness.path("bytes")
            try Descriptor(opening: source, O_WRONLY | O_CREAT, mode: 0o600).write(bytes, path: source)
            let pipe = try Pipe()
            let job = try harness.start(
                [Programs.cgrun, "--pty", "--timeout", "300s", "--", "cat", source],
                standardOutput: pipe.writing.descriptor.rawValue)
            try pipe.reading.descriptor.setNonblocking()
            var received: [UInt8] = []
            try eventually(within: .seconds(60), "\(size) bytes, and not \(received.count)") {
                // A little at a time, and never as fast as they come.
                if case .bytes(let some) = pipe.reading.descriptor.readSome(30_000) { received += some }
                return received.count >= size || job.hasEnded
            }
            while case .bytes(let rest) = pipe.reading.descriptor.readSome(65_536) { received += rest }
            #expect(received.count == size && received == bytes)
            #expect(try job.end().exitCode == 0)
            try harness.expectNothingLeft()
        }

        @Test func aReaderThatDoesNotReadStopsNoTimeLimit() throws {
            let pipe = try Pipe()
            let job = try harness.start(
                [Programs.cgrun, "--pty", "--timeout", "300ms", "--kill-after", "200ms", "--", "yes"],
                standardOutput: pipe.writing.descriptor.rawValue)
            // Nobody reads, and so the rest is given up.
            #expect(try job.end().exitCode == 124)
            try harness.expectNothingLeft()
        }

        /// Without a time limit, what was written waits for its reader, until somebody ends that.
        @Test func theRestWaitsForItsReader() throws {
            let pipe = try Pipe()
            try pipe.reading.descriptor.setNonblocking()
            // One page, whatever pieces it comes in; the rest finds room in cgrun and the terminal.
            let setSize: CInt = 1_031  // F_SETPIPE_SZ, which Glibc has for GNU programs only
            #expect(fcntl(pipe.writing.descriptor.rawValue, setSize, 4_096) == 4_096)
            func start() throws -> TestProcess {
                let mark = harness.path("mark")
                let job = try harness.start(
                    [Programs.cgrun, "--pty", "--", "sh", "-c", "head -c 7000 /dev/zero; echo > \(mark); exit 3"],
                    standardOutput: pipe.writing.descriptor.rawValue)
                try eventually("the command's end: \(harness.marker.survivors)") {
                    isOpenable(mark) && harness.marker.survivors.map(\.pid) == [job.pid]
                }
                _ = unlink(mark)
                return job
            }
            let job = try start()
            var count = 0
            try eventually("7000 bytes, and not \(count)") {
                if case .bytes(let some) = pipe.reading.descriptor.readSome(65_536) { count += some.count }
                return job.hasEnded
            }
            while case .bytes(let some) = pipe.reading.descriptor.readSome(65_536) { count += some.count }
            #expect(count == 7_000)
            #expect(try job.end().exitCode == 3)

            let unread = try start()
            #expect(!unread.hasEnded)
            unread.send(.terminate)
            #expect(try unread.end().exitCode == 3)
            try harness.expectNothingLeft()
        }

        private func isOpenable(_ path: String) -> Bool { access(path, R_OK) == 0 }

        /// One that somebody moved out of the job goes on writing, until its terminal hangs up.
        @Test(.enabled(if: Capability.isRoot && Capability.mayMakeCgroups, "only root may move a process out"))
        func aWriterOutsideTheJobHoldsNobodyUp() throws {
            let outcome = try harness.cgrun(
                "--pty", "sh", "-c", "trap '' HUP; yes & echo $! > \(TestCgroups.filePathOfParent) && exit 3")
            #expect(outcome.exitCode == 3)
            try harness.expectNothingLeft()
        }

        @Test func inputThatNobodyReadsCostsNoTime() throws {
            let (outcome, report) = try harness.reported(
                "--pty", "--", "sh", "-c",
                "yes | \(Programs.cgrun) --pty sleep 0.3")
            #expect(outcome.exitCode == 0)
            #expect(try #require(report.cpu.usageSeconds) < 0.2 * Double(patience))
        }

        @Test func aReaderThatLeavesHangsUp() throws {
            var pipe: Pipe? = try Pipe()
            let job = try harness.start(
                [Programs.cgrun, "--pty", "--", "yes"], standardOutput: pipe!.writing.descriptor.rawValue)
            pipe = nil
            #expect(try job.end().exitCode == 129)
            try harness.expectNothingLeft()
        }

        @Test func aUnitHasNoTerminal() throws {
            let outcome = try harness.cgrun("unit", "service", "x", "--pty", "--", "/bin/true")
            #expect(outcome.exitCode == 125 && outcome.output == "")
            #expect(outcome.errors.split(separator: "\n").count == 1 && outcome.errors.contains(text: "--pty"))
        }
    }
}
