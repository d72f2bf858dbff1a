import CgroupSandbox
import FoundationEssentials
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

private let rounds = min(100, ThisProcess.environmentVariable("CGRUN_TEST_ROUNDS").flatMap { Int($0) } ?? 100)

extension Behaviour {
    /// Reports to what cannot be replaced, and to several places; and what is left of one that was not finished.
    @Suite(.onRealMachines) struct ReportStreams {
        let scene: ReportScene
        private var harness: Harness { scene.harness }

        init() throws { scene = try ReportScene() }

        // MARK: FIFOs

        private func pipe() throws -> String {
            let path = scene.own + "/pipe"
            try #require(mkfifo(path, 0o600) == 0)
            return path
        }

        @Test func aFIFOThatNobodyReadsIsRefused() throws {
            let pipe = try pipe()
            try scene.expectRefused(pipe, "nobody reads from it; expected a FIFO or device that somebody has open")
            #expect(try scene.kind(pipe) == S_IFIFO)
        }

        @Test(.once, arguments: [false, true]) func aFIFOThatIsFullIsGivenUp(_ isLost: Bool) throws {
            let pipe = try pipe()
            let reader = try Descriptor(opening: pipe, O_RDONLY | O_NONBLOCK)
            let filler = try Descriptor(opening: pipe, O_WRONLY | O_NONBLOCK)
            SignalSet([.pipe]).block()
            while try filler.writeSome([UInt8](repeating: 0, count: 4096)[...]) > 0 {}
            let outcome = try scene.run(":", isLost: isLost, exitCode: 125, ["--report", pipe])
            if !isLost { #expect(outcome.errors.contains(text: "any more: write: Resource temporarily unavailable")) }
            _ = reader.rawValue
        }

        @Test(arguments: [false, true]) func aReaderThatLeavesEndsNobody(_ isLost: Bool) throws {
            let pipe = try pipe()
            let reader = try Descriptor(opening: pipe, O_RDONLY | O_NONBLOCK).giveUp()
            let outcome = try scene.run(
                ":", isLost: isLost, exitCode: 125, ["--report", pipe], meanwhile: { close(reader) })
            if !isLost { #expect(outcome.errors.contains(text: "any more: write: Broken pipe"), "\(outcome.errors)") }
        }

        @Test func aFIFOIsReadAfterALoss() throws {
            let pipe = try pipe()
            let reader = try Descriptor(opening: pipe, O_RDONLY | O_NONBLOCK)
            // What has its name meanwhile is not written to.
            _ = try scene.run(":", isLost: true, ["--report", pipe], meanwhile: { rename(pipe, pipe + ".old") })
            var text = ""
            try eventually("a report, but: \(text)") {
                if case .bytes(let bytes) = reader.readSome(65536) { text += String(decoding: bytes, as: UTF8.self) }
                return text.contains(text: "\"launcher_lost\"") && text.hasSuffix("\n}\n")
            }
            #expect(try scene.names(in: scene.own) == ["pipe.old"])
        }

        // MARK: Descriptors

        @Test func standardOutputIsTheOpenFile() throws {
            let file = scene.own + "/all"
            let script = "{ echo before; \"$@\"; echo after; } > \(file)"
            for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
                _ = try harness.start(
                    ["sh", "-c", script, "sh", Programs.cgrun, "--report", path, "echo", "output"]
                ).end()
                let text = try readTextFile(file)
                #expect(text.hasPrefix("before\noutput\n{\n") && text.hasSuffix("\n}\nafter\n"), "\(path)")
                #expect(try scene.names(in: scene.own) == ["all"])
            }
            let piped = try harness.start(
                ["sh", "-c", "\"$@\" | cat", "sh", Programs.cgrun, "--report", "/dev/stdout", "echo", "output"]
            ).end()
            #expect(piped.output.hasPrefix("output\n{\n") && piped.output.hasSuffix("\n}\n"))
            let link = scene.own + "/link"
            try scene.link(link, to: "/dev/stderr", owner: geteuid())
            #expect(try harness.cgrun("--report", link, "true").errors.hasPrefix("{\n"))
            try harness.expectNothingLeft()
        }

        @Test func aSubstitutionIsWrittenTo() throws {
            let file = scene.own + "/copy"
            let script = "exec \(Programs.cgrun) --report >(cat > \(file)) -- \(Programs.probe) descriptors"
            let outcome = try harness.start(["bash", "-c", script]).end()
            // The pipe is not the job's.
            #expect(outcome.lines == ["0", "1", "2"], "\(outcome.errors)")
            try harness.expectNothingLeft()
            try scene.expectReport(file)
        }

        @Test(arguments: ["--report", "--report-fd"]) func severalAtOnceAfterALoss(_ option: String) throws {
            let (first, second) = (scene.own + "/first", scene.own + "/second")
            let target = option == "--report" ? first : "/dev/fd/6"
            let job = try harness.start(
                [
                    "sh", "-c", "exec \"$@\" 5>\(second) 6>\(option == "--report" ? "/dev/null" : first)", "sh",
                    Programs.cgrun, "--report", target, "--report-fd", "5", "--", Programs.probe, "deaf",
                ])
            try job.waitForOutput("ready")
            job.send(.kill)
            _ = try job.end()
            try harness.expectNothingLeft()
            for file in [first, second] { try scene.expectReport(file, isLost: true) }
            let reports = [try harness.report(first), try harness.report(second)]
            #expect(reports[0].jobID == reports[1].jobID)
        }

        /// Whoever reads the report until the end of file need not wait for anything else: the job's processes are gone
        /// then, and with them the guard, the program that wrote the report, the holder and the cgroups. A manager removes
        /// an empty scope when it gets to it.
        @Test(arguments: ["--report", "--report-fd"], [false, true])
        func theReportsEndIsTheEndOfAll(_ option: String, _ isLost: Bool) throws {
            let pipe = try pipe()
            let command = isLost ? [Programs.probe, "deaf"] : ["sh", "-c", "setsid sleep 60 & echo ready"]
            let start =
                option == "--report"
                ? [Programs.cgrun, option, pipe, "--"]
                : ["sh", "-c", "exec \"$@\" 5> \(pipe)", "sh", Programs.cgrun, option, "5", "--"]
            for _ in 0..<rounds {
                let reader = try Descriptor(opening: pipe, O_RDONLY | O_NONBLOCK)
                let job = try harness.start(start + command)
                try job.waitForOutput("ready")
                if isLost { job.send(.kill) }
                var text = ""
                var poller = Poller()
                poller.add(reader.rawValue)
                while poller.wait(.seconds(10) * patience)[0], case .bytes(let part) = reader.readSome(65536) {
                    text += String(decoding: part, as: UTF8.self)
                }
                // A launcher that ends in order is still about to exit.
                _ = try job.end()
                let cgroups = TestCgroups.jobs.filter { !$0.hasSuffix(".scope") }
                #expect(harness.marker.survivors.map(\.description) + cgroups == [])
                #expect(text.contains(text: isLost ? "\"launcher_lost\"" : "\"exit_code\" : 0"), "\(text)")
            }
        }

        /// Whatever can be written is.
        @Test func oneThatFailsDoesNotTakeTheOtherAlong() throws {
            let job = try harness.start(
                [
                    "sh", "-c", "exec \"$@\" 5>/dev/full", "sh", Programs.cgrun, "--report", scene.report,
                    "--report-fd", "5", "true",
                ])
            let outcome = try job.end()
            #expect(outcome.exitCode == 125)
            #expect(outcome.errors.contains(text: "--report-fd 5: the report cannot be written any more"))
            try scene.expectReport(scene.report)
            try harness.expectNothingLeft()
        }

        // MARK: Killed while it writes

        /// There is the old report or a new one, and nothing else.
        @Test func launcherKilledWhileItWrites() throws {
            // It takes a while to write this much.
            let words = [String](repeating: String(repeating: "x", count: 100_000), count: 10)
            let file = scene.own + "/r.json"
            #expect(try harness.startCgrun(["--report", file, "true"] + words).end().exitCode == 0)
            var last = try harness.report(file).jobID
            var caught = 0
            for _ in 0..<rounds {
                let job = try harness.startCgrun(["--report", file, "true"] + words)
                while !job.hasEnded {
                    guard try scene.isBeingWritten(by: job.pid) else { continue }
                    caught += 1
                    break
                }
                // At the beginning, in the middle, at the end.
                pause(.microseconds(Int.random(in: 0...3_000)))
                job.send(.kill)
                _ = try job.end()
                try harness.expectNothingLeft()
                // A process that becomes another program is not seen for a moment.
                try eventually("another report, alone") {
                    let report = try harness.report(file)
                    guard try scene.names(in: scene.own) == ["r.json"], report.jobID != last else { return false }
                    last = report.jobID
                    return true
                }
            }
            #expect(caught > 0 || rounds < 100, "never seen writing")
        }
    }
}
