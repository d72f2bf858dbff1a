import CgroupSandbox
import Glibc
import LinuxSystem
import TestSupport
import Testing

extension Behaviour {
    /// `--report` and `--report-fd`.
    @Suite(.onRealMachines) struct ReportFiles {
        let harness: Harness

        init() throws { harness = try Harness() }

        private func facts(_ path: String) throws -> stat {
            var facts = stat()
            try #require(lstat(path, &facts) == 0, "\(path)")
            return facts
        }

        private func kind(_ path: String) throws -> UInt32 { try facts(path).st_mode & S_IFMT }

        /// A reader sees the old report or the new one, never half of one.
        @Test func isReplacedInOneStep() throws {
            let file = try harness.writeFile("report", "old")
            let old = try Descriptor(opening: file, O_RDONLY)
            let before = try facts(file).st_ino
            #expect(try harness.cgrun("--report", file, "--", Programs.probe, "exit", "4").exitCode == 4)
            #expect(try facts(file).st_ino != before)
            #expect(try old.readAll(path: file) == "old")
            #expect(try harness.report(file).exitCode == 4)
            #expect(try harness.start(["ls", "-A", harness.path(".")]).end().output == "report\n")
            try harness.expectNothingLeft()
        }

        @Test func aRelativePathIsTheCallers() throws {
            let outcome = try harness.start(
                [
                    "sh", "-c", "cd \(harness.path(".")) && exec \"$@\"", "sh", Programs.cgrun, "--report", "r.json",
                    "-C", "/", "true",
                ]
            ).end()
            #expect(outcome.exitCode == 0)
            #expect(try harness.report(harness.path("r.json")).cwd == "/")
            try harness.expectNothingLeft()
        }

        /// What a link means is replaced, not the link.
        @Test func aLinkStaysALink() throws {
            let file = try harness.writeFile("real", "old")
            let link = harness.path("link")
            try #require(symlink(file, link) == 0)
            #expect(try harness.cgrun("--report", link, "true").exitCode == 0)
            #expect(try kind(link) == S_IFLNK)
            #expect(try harness.report(file).exitCode == 0)
            try harness.expectNothingLeft()
        }

        @Test func aPipeStaysAPipe() throws {
            let pipe = harness.path("pipe")
            try #require(mkfifo(pipe, 0o600) == 0)
            // Opened before cgrun looks: nobody is waited for.
            let reader = try Descriptor(opening: pipe, O_RDONLY | O_NONBLOCK)
            #expect(try harness.cgrun("--report", pipe, "--", Programs.probe, "exit", "5").exitCode == 5)
            var text = ""
            while case .bytes(let bytes) = reader.readSome(4096) { text += String(decoding: bytes, as: UTF8.self) }
            #expect(text.hasPrefix("{\n") && text.contains(text: "\"exit_code\" : 5") && text.hasSuffix("}\n"))
            #expect(try kind(pipe) == S_IFIFO)
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: !Capability.isRoot, "a fault would replace this machine's device"))
        func aDeviceStaysADevice() throws {
            #expect(try harness.cgrun("--report", "/dev/null", "true").exitCode == 0)
            #expect(try kind("/dev/null") == S_IFCHR)
            try harness.expectNothingLeft()
        }

        @Test func descriptors() throws {
            let file = harness.path("report")
            let outcome = try harness.start(
                [
                    "sh", "-c", "exec \"$@\" 5>\(file)", "sh", Programs.cgrun, "--report-fd", "5", "--", Programs.probe,
                    "exit", "6",
                ]
            ).end()
            #expect(outcome.exitCode == 6)
            #expect(try harness.report(file).exitCode == 6)
            // After the command's own output where they share one.
            let shared = try harness.cgrun("--report-fd", "1", "echo", "output")
            #expect(shared.output.hasPrefix("output\n{\n"))
            try harness.expectNothingLeft()
        }

        @Test func aDashIsStandardOutput() throws {
            let outcome = try harness.start([
                "sh", "-c", "cd \(harness.path(".")) && exec \(Programs.cgrun) --report - -- echo output",
            ]).end()
            #expect(outcome.output.hasPrefix("output\n{\n") && outcome.output.contains(text: "\"schema\" : 1"))
            #expect(try harness.start(["ls", "-A", harness.path(".")]).end().output == "")
        }

        /// No signal ends the launcher that may not write so much, neither before the job nor after.
        @Test func aLimitOnFilesIsTold() throws {
            let file = harness.path("r.json")
            var codes: Set<Int?> = []
            for blocks in 1...16 {
                let script = "ulimit -f \(blocks); exec \(Programs.cgrun) --report \(file) -- \(Programs.probe) exit 3"
                let outcome = try harness.start(["sh", "-c", script]).end()
                codes.insert(outcome.exitCode)
                guard outcome.exitCode == 125 else {
                    #expect(outcome.exitCode == 3 && outcome.errors == "", "\(blocks): \(outcome)")
                    #expect(try harness.report(file).exitCode == 3)
                    break
                }
                #expect(outcome.errors.contains(text: "raise the limit on files (ulimit -f)"), "\(blocks): \(outcome)")
                #expect(try harness.start(["ls", "-A", harness.path(".")]).end().output == "")
            }
            #expect(codes == [3, 125])
            try harness.expectNothingLeft()
        }

        /// A launcher and a guard that are killed while either of them writes leave no half of a file.
        @Test func aKillLeavesNoOtherFile() throws {
            for _ in 0..<200 {
                let job = try harness.startCgrun(["--report", harness.path("r.json"), "--", "true"])
                pause(.microseconds(Int.random(in: 0...8_000)))
                let guardian = harness.marker.guards.first.flatMap { try? ProcessDescriptor(pid: $0.pid) }
                job.send(.kill)
                try? guardian?.send(.kill)
                _ = try job.end()
                // A command that was about to be executed holds its cgroup's lock until then, and no sweep takes it.
                try eventually("the end of all: \(harness.marker.survivors)") { harness.marker.survivors.isEmpty }
                _ = try harness.cgrun("sweep")
                try harness.expectNothingLeft()
            }
            // A file may be left in the instant between its name and its place. The next report removes it.
            let live = try harness.writeFile(".cgrun-0123456789abcdef", "somebody writes it")
            let lock = try Descriptor(opening: live, O_RDONLY)
            #expect(try lock.tryLock())
            _ = try harness.writeFile(".cgrun-0123456789abcde0-2", "left")
            _ = try harness.writeFile(".cgrun-other", "not cgrun's")
            #expect(try harness.writeFile("r.json", "old") != "")
            #expect(try harness.cgrun("--report", harness.path("r.json"), "--", "true").exitCode == 0)
            let files = try harness.start(["ls", "-A", harness.path(".")]).end().lines
            #expect(files == [".cgrun-0123456789abcdef", ".cgrun-other", "r.json"])
            withExtendedLifetime(lock) {}
        }

        @Test func bothAtOnce() throws {
            let (outcome, report) = try harness.reported("--report-fd", "1", "true")
            #expect(outcome.output.contains(text: report.jobID))
            try harness.expectNothingLeft()
        }
    }
}
