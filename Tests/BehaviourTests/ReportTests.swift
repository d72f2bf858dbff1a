import CgroupSandbox
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// What a real job's report says.
    @Suite struct Reports {
        let harness: Harness

        init() throws { harness = try Harness() }

        @Test func tellsWhatRanAndHowItEnded() throws {
            let (outcome, report) = try harness.reported(
                "-C", "/", "--timeout", "1m", "--cpu-time", "1h", "--", Programs.probe, "exit", "3")
            #expect(outcome.exitCode == 3)
            #expect(report.schema == 1)
            #expect(report.argv == [Programs.probe, "exit", "3"])
            #expect(report.cwd == "/")
            #expect(report.uid == ThisProcess.effectiveUserID)
            #expect(report.host == Machine.hostName)
            #expect(report.bootID == Machine.bootID)
            #expect(report.result == .exited)
            #expect(report.exitCode == 3 && report.signal == nil && !report.coreDumped)
            #expect(report.cause == .nonzeroExit && report.confidence == .certain)
            #expect(report.launcherExitCode == 3)
            #expect(report.error == nil)
            #expect(report.limits.wallTimeoutSeconds == 60)
            #expect(report.limits.cpuTimeoutSeconds == 3600)
            #expect(report.strays.isEmpty && !report.straysKilled && report.unkillable.isEmpty)
            #expect(report.termination.requestedBy == nil && !report.termination.escalated)
            try harness.expectNothingLeft()
        }

        @Test func aRemovedDirectoryIsNone() throws {
            let file = harness.path("r.json")
            let command = "exec \(Programs.cgrun) --report \(file) -- true"
            let script = "mkdir \(file).d; cd \(file).d; rmdir \(file).d; \(command)"
            #expect(try harness.start(["sh", "-c", script]).end().exitCode == 0)
            let report = try harness.report(file)
            #expect(report.cwd == nil)
            #expect(report.unavailable.contains { $0.field == "cwd" && $0.reason.hasSuffix("was removed") })
        }

        @Test func tellsTime() throws {
            let before = Timestamp.now.text
            let report = try harness.reported("--", "sleep", "0.2").report
            let after = Timestamp.now.text
            // RFC 3339 in UTC sorts as text.
            let ended = try #require(report.endedAt)
            #expect(before <= report.startedAt && report.startedAt < ended && ended <= after)
            let wall = try #require(report.wallSeconds)
            #expect(wall >= 0.2 && wall < 30)
            try harness.expectNothingLeft()
        }

        @Test func tellsUsage() throws {
            let report = try harness.reported("--", Programs.probe, "burn", "200").report
            let usage = try #require(report.cpu.usageSeconds)
            #expect(usage >= 0.2 && usage < 30)
            let parts = try #require(report.cpu.userSeconds) + #require(report.cpu.systemSeconds)
            #expect(abs(parts - usage) < 0.05)
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.has("--mem") && Capability.has("--pids"), "no memory or pids controller"))
        func tellsMemoryAndProcesses() throws {
            let report = try harness.reported(
                "--mem", "256M", "--pids", "64", "--", Programs.probe, "allocate", "32"
            ).report
            #expect(report.limits.resources.memoryMax?.value?.bytes == 256 << 20)
            #expect(report.limits.resources.swapMax == .value(.bytes(0)))
            #expect(report.limits.resources.pidsMax == .value(64))
            #expect(report.memory.events?["oom_kill"] == 0)
            if let peak = report.memory.peakBytes { #expect(peak >= 32 << 20 && peak <= 256 << 20) }
            if let peak = report.pids.peak { #expect(peak >= 1 && peak <= 64) }
            #expect(report.pids.refusedForks == 0)
            #expect(report.containment.controllers.contains("memory"))
            #expect(report.containment.controllers.contains("pids"))
            try harness.expectNothingLeft()
        }

        @Test func tellsContainment() throws {
            let report = try harness.reported("true").report
            let containment = report.containment
            #expect(containment.manager == (Capability.usesSystemd ? "systemd" : "cgroupfs"))
            #expect(containment.layers.map(\.name).prefix(2) == ["launcher", "guard"])
            #expect(containment.unit == (Capability.usesSystemd ? "cgrun-\(report.jobID).scope" : nil))
            #expect(containment.achieved == "guarded")
            #expect(containment.guardsReplaced == 0)
            #expect(containment.cgroup?.hasSuffix("/cgrun-" + report.jobID) == true)
            #expect(containment.hierarchy == (Capability.isHybrid ? "hybrid" : "unified"))
            if Capability.mayMakeCgroups {
                let named = try harness.reported("--cgroup-manager", "cgroupfs", "true").report
                #expect(named.containment.managerReason == "asked for")
            }
            try harness.expectNothingLeft()
        }

        @Test func theJobKnowsItsName() throws {
            let (outcome, report) = try harness.reported("-E", "CGRUN_JOB_ID=forged", "sh", "-c", "echo $CGRUN_JOB_ID")
            #expect(outcome.output == report.jobID + "\n")
            #expect(report.jobID.count == 16)
            try harness.expectNothingLeft()
        }

        @Test func tellsStrays() throws {
            let report = try harness.reported("--", Programs.probe, "plant", "2").report
            #expect(report.straysKilled)
            #expect(report.strays.count == 2)
            #expect(report.strays.allSatisfy { $0.comm == "probe-daemon" && $0.pid > 1 })
            #expect(report.termination.cgroupKill)
            #expect(report.cause == .normal)
            try harness.expectNothingLeft()
        }

        @Test func tellsSignals() throws {
            let report = try harness.reported("--", Programs.probe, "die", "9").report
            #expect(report.result == .signaled)
            #expect(report.exitCode == nil)
            #expect(report.signal?.number == 9 && report.signal?.name == "SIGKILL")
            #expect(report.cause == .signalOther)
            #expect(!report.oomInTree)
            #expect(report.launcherExitCode == 137)
            try harness.expectNothingLeft()
        }

        /// What is not known says why: every null that is a figure has an entry.
        @Test func nullsHaveReasons() throws {
            let report = try harness.reported("true").report
            let reasons = report.unavailable
            #expect(reasons.allSatisfy { !$0.reason.isEmpty })
            #expect(Set(reasons.map(\.field)).count == reasons.count)
            let missing: [(String, Bool)] = [
                ("memory.peak_bytes", report.memory.peakBytes == nil),
                ("memory.swap_peak_bytes", report.memory.swapPeakBytes == nil),
                ("memory.events", report.memory.events == nil),
                ("memory.events_local", report.memory.eventsLocal == nil),
                ("pids.peak", report.pids.peak == nil), ("pids.refused_forks", report.pids.refusedForks == nil),
                ("cpu.usage_seconds", report.cpu.usageSeconds == nil),
                ("cpu.throttled_seconds", report.cpu.throttledSeconds == nil), ("io", report.io == nil),
                ("pressure", report.pressure.memory == nil), ("escape_detected", report.escapeDetected == nil),
                ("containment.unit", report.containment.unit == nil),
            ]
            for (field, isMissing) in missing {
                #expect(reasons.contains { $0.field == field } == isMissing, "\(field)")
            }
            try harness.expectNothingLeft()
        }

        /// Not one field is left out, for readers that do not know what could be there.
        @Test(arguments: [["true"], ["--", "/no/such/program"]]) func allFieldsAreThere(_ arguments: [String]) throws {
            let file = harness.path("report.json")
            _ = try harness.startCgrun(["--report", file] + arguments).end()
            let text = try readTextFile(file)
            for field in [
                "schema", "job_id", "argv", "cwd", "uid", "host", "boot_id", "containment", "started_at", "ended_at",
                "wall_seconds", "result", "exit_code", "signal", "core_dumped", "cause", "confidence", "evidence",
                "launcher_exit_code", "limits", "memory", "pids", "cpu", "io", "pressure", "termination", "strays",
                "unavailable", "oom_in_tree", "strays_killed", "escape_detected", "error",
            ] {
                #expect(text.contains(text: "\n  \"\(field)\" : "), "\(field)")
            }
            #expect(text.hasSuffix("}\n"))
            try harness.expectNothingLeft()
        }

        @Test func aCommandThatIsNotThereIsReported() throws {
            let (outcome, report) = try harness.reported("--", "/no/such/program")
            #expect(outcome.exitCode == 127)
            #expect(report.result == .notStarted && report.cause == .execError)
            #expect(report.launcherExitCode == 127 && report.exitCode == nil)
            #expect(report.error == "/no/such/program: command not found")
            #expect(report.wallSeconds == nil)
            try harness.expectNothingLeft()
        }

        @Test func aSetupErrorIsReported() throws {
            let (outcome, report) = try harness.reported("--cgroup-parent", "/no/such/cgroup", "true")
            #expect(outcome.exitCode == 125)
            #expect(report.result == .notStarted && report.cause == .setupError)
            #expect(report.launcherExitCode == 125)
            #expect(report.error?.contains(text: "/no/such/cgroup") == true)
            #expect(report.containment.achieved == "none")
            try harness.expectNothingLeft()
        }

        @Test func oddArgumentsSurviveJSON() throws {
            let words = ["-c", ":", "a\"b\\c", "\n\t\u{1}", "\u{1F600}", ""]
            let (_, report) = try harness.reported("sh", words[0], words[1], words[2], words[3], words[4], words[5])
            #expect(report.argv == ["sh"] + words)
            try harness.expectNothingLeft()
        }
    }
}
