import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// What the caller handed down is the command's; what cgrun opened is its own.
    @Suite struct Descriptors {
        let harness: Harness

        init() throws { harness = try Harness() }

        private func shell(_ script: String, _ arguments: String...) throws -> Outcome {
            try harness.start(["sh", "-c", script, "sh"] + arguments).end()
        }

        @Test func nothingOfCgrunsLeaks() throws {
            let plain = try harness.start([Programs.probe, "descriptors"]).end()
            #expect(plain.lines == ["0", "1", "2"])
            var options: [[String]] = [
                [], ["--report", harness.path("report")], ["--verbose"], ["--timeout", "1m"], ["--cpu-time", "1m"],
                ["--no-die-with-parent"],
            ]
            for (option, value) in [("--mem", "64M"), ("--pids", "64")] where Capability.has(option) {
                options.append([option, value])
            }
            for option in options + [options.flatMap { $0 }] {
                let job = try harness.startCgrun(option + ["--", Programs.probe, "descriptors"]).end()
                #expect(job.lines == plain.lines, "\(option)")
            }
            try harness.expectNothingLeft()
        }

        @Test func inheritedOnesPassThrough() throws {
            let open = "exec 4</dev/null 7>/dev/null 9</; exec \"$@\""
            let plain = try shell(open, Programs.probe, "descriptors")
            let job = try shell(open, Programs.cgrun, "--", Programs.probe, "descriptors")
            #expect(plain.lines == ["0", "1", "2", "4", "7", "9"])
            #expect(job.lines == plain.lines)
            let closed = try shell(open, Programs.cgrun, "--close-fds", "--", Programs.probe, "descriptors")
            #expect(closed.lines == ["0", "1", "2"])
            try harness.expectNothingLeft()
        }

        /// A standard stream that was closed stays closed, and nothing of cgrun's takes its place.
        @Test func closedStreamsStayClosed() throws {
            for (close, left) in [("<&-", ["1", "2"]), ("2>&-", ["0", "1"]), ("<&- 2>&-", ["1"])] {
                let job = try shell("exec \"$@\" \(close)", Programs.cgrun, "--", Programs.probe, "descriptors")
                #expect(job.lines == left, "\(close)")
            }
            try harness.expectNothingLeft()
        }

        @Test func standardInputReachesTheCommand() throws {
            let outcome = try shell("printf 'a\\nb\\n' | \"$@\"", Programs.cgrun, "cat")
            #expect(outcome.output == "a\nb\n")
            try harness.expectNothingLeft()
        }

        /// The descriptor of a report is not the job's.
        @Test func theReportsDescriptorIsKeptBack() throws {
            let outcome = try shell(
                "exec \"$@\" 5>\(harness.path("report")) 6</dev/null", Programs.cgrun, "--report-fd", "5", "--",
                Programs.probe, "descriptors")
            #expect(outcome.lines == ["0", "1", "2", "6"])
            #expect(try harness.report(harness.path("report")).exitCode == 0)
            try harness.expectNothingLeft()
        }

        @Test func socketActivationPassesDown() throws {
            let outcome = try shell(
                "exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", Programs.cgrun, "--", "sh", "-c",
                "echo $LISTEN_FDS; test $LISTEN_PID = $$ && echo mine; readlink /proc/self/fd/3")
            #expect(outcome.output == "1\nmine\n/dev/null\n")
            // Meant for somebody else: left as it is.
            let other = try shell(
                "LISTEN_FDS=1 LISTEN_PID=1 exec \"$@\"", Programs.cgrun, "--", "sh", "-c", "echo $LISTEN_PID")
            #expect(other.output == "1\n")
            try harness.expectNothingLeft()
        }

        private static let hasMake = access("/usr/bin/make", X_OK) == 0

        @Test(.enabled(if: hasMake, "make is not installed"))
        func makesJobserverWorks() throws {
            let top = try harness.writeFile(
                "Makefile",
                """
                all: a b
                a b:
                \t+@\(Programs.cgrun) -- $(MAKE) --no-print-directory -f \(harness.path("sub.mk")) $@

                """)
            // With a jobserver that cannot be reached, make says so and drops to -j1.
            _ = try harness.writeFile("sub.mk", "a b:\n\t@echo made $@ $(filter --jobserver%,$(MAKEFLAGS))\n")
            let outcome = try harness.start(["make", "-j2", "-f", top]).end()
            #expect(outcome.exitCode == 0)
            #expect(outcome.errors == "")
            #expect(outcome.lines.filter { $0.hasPrefix("made ") && $0.contains(text: "--jobserver") }.count == 2)
            try harness.expectNothingLeft()
        }

        // MARK: Readers

        @Test func aSubstitutionEndsWithTheJob() throws {
            let outcome = try shell("x=$(\"$@\"); echo \"[$x]\"", Programs.cgrun, "--", Programs.probe, "plant", "3")
            #expect(outcome.output == "[planted 3]\n")
            try harness.expectNothingLeft()
        }

        @Test func aPipelineEndsWithItsReader() throws {
            let outcome = try shell("\"$@\" | head -n 1", Programs.cgrun, "--quiet", "yes")
            #expect(outcome.output == "y\n")
            try harness.expectNothingLeft()
        }

        /// The reader sees the end as soon as cgrun is gone, whatever the daemons hold open.
        @Test func strayWritersDelayNobody() throws {
            var ends: [CInt] = [-1, -1]
            try #require(pipe(&ends) == 0)
            let reader = Descriptor(owning: ends[0])
            let job: TestProcess
            do {
                let writer = Descriptor(owning: ends[1])
                job = try harness.start(
                    [Programs.cgrun, "--", Programs.probe, "plant", "5"], standardOutput: writer.rawValue)
            }
            #expect(try job.end().exitCode == 0)
            var poller = Poller()
            poller.add(reader.rawValue)
            var text = ""
            while poller.wait(.seconds(5))[0] {
                var bytes = [UInt8](repeating: 0, count: 256)
                let size = read(reader.rawValue, &bytes, bytes.count)
                if size <= 0 {
                    text += "<end>"
                    break
                }
                text += String(decoding: bytes.prefix(size), as: UTF8.self)
            }
            #expect(text == "planted 5\n<end>")
            try harness.expectNothingLeft()
        }

        @Test func theGuardHoldsNothingOfTheCallers() throws {
            let job = try harness.start(
                ["sh", "-c", "exec 8</dev/null; exec \"$@\"", "sh", Programs.cgrun, "--", Programs.probe, "deaf"])
            try job.waitForOutput("ready")
            let guardian = try harness.survivor("cgrun-guard").pid
            for descriptor in 0..<64 {
                var buffer = [CChar](repeating: 0, count: 256)
                let size = readlink("/proc/\(guardian)/fd/\(descriptor)", &buffer, buffer.count)
                guard size > 0 else { continue }
                let target = String(decoding: buffer.prefix(size).map { UInt8(bitPattern: $0) }, as: UTF8.self)
                #expect(!target.contains(text: "stdout") && !target.contains(text: "stderr"), "\(descriptor) \(target)")
                #expect(!target.hasPrefix("pipe:"), "\(descriptor) \(target)")
            }
            job.send(.kill)
            _ = try job.end()
            try harness.expectNothingLeft()
        }
    }
}
