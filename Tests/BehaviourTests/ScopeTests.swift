import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

private let rounds = ThisProcess.environmentVariable("CGRUN_TEST_ROUNDS").flatMap { Int($0) } ?? 200

extension Behaviour {
    /// What only systemd's manager does: scopes, and PID 1 as the last guard.
    @Suite(.enabled(if: Capability.usesSystemd, "not booted with systemd, or not asked to use it"))
    struct Scope {
        let harness: Harness

        init() throws { harness = try Harness() }

        private func startTree(_ options: String...) throws -> TestProcess {
            let job = try harness.startCgrun(options + ["--", Programs.probe, "tree", "3"])
            try job.waitForOutput("planted")
            return job
        }

        // MARK: Losses

        @Test func launcherAndGuardKilledAtOnce() throws {
            for _ in 0..<rounds {
                let job = try harness.startCgrun(["--", Programs.probe, "tree", "2"])
                pause(.microseconds(Int.random(in: 0...20_000)))
                let guardian = harness.marker.guards.first.flatMap { try? ProcessDescriptor(pid: $0.pid) }
                // Both are stopped first where there is time, so that neither can act on the other's end.
                if Bool.random() {
                    job.send(.stop)
                    try? guardian?.send(.stop)
                }
                if Bool.random() {
                    job.send(.kill)
                    try? guardian?.send(.kill)
                } else {
                    try? guardian?.send(.kill)
                    job.send(.kill)
                }
                _ = try job.end()
                try harness.expectNothingLeft()
            }
            try harness.expectNoUnit()
        }

        @Test func guardKilledEndsTheJob() throws {
            for round in 0..<rounds {
                let file = harness.path("report-\(round)")
                let job = try startTree("--report", file)
                let guardian = try harness.survivor("cgrun-guard")
                try ProcessDescriptor(pid: guardian.pid).send(.kill)
                #expect(try job.end().exitCode == 137)
                try harness.expectNothingLeft()
                let cause = try harness.report(file).cause
                #expect(cause == .guardLost || cause == .unitStopped)
            }
            try harness.expectNoUnit()
        }

        @Test func everyHelperKilledInTurn() throws {
            for name in ["cgrun-holder", "cgrun-guard", "cgrun"] {
                let job = try startTree("--kill-after", "0")
                let victim = try harness.survivor(name)
                try ProcessDescriptor(pid: victim.pid).send(.kill)
                if name == "cgrun-holder" { job.send(.terminate) }
                _ = try job.end()
                try harness.expectNothingLeft()
            }
            try harness.expectNoUnit()
        }

        /// It starts the command: before that the job has not begun, and after that nothing depends on it.
        @Test func holderKilledAtRandomMoments() throws {
            for _ in 0..<rounds / 2 {
                let job = try harness.startCgrun(["--", Programs.probe, "plant", "2"])
                pause(.microseconds(Int.random(in: 0...15_000)) * patience)
                let holder = harness.marker.survivors.first { $0.command == "cgrun-holder" }
                if let holder { try? ProcessDescriptor(pid: holder.pid).send(.kill) }
                let outcome = try job.end()
                #expect([0, 125, 137].contains(outcome.exitCode), "\(outcome)")
                #expect(outcome.exitCode != 125 || outcome.output.isEmpty, "\(outcome)")
                try harness.expectNothingLeft()
            }
            try harness.expectNoUnit()
        }

        // MARK: Ends from outside

        /// `systemctl stop` stops the job as SIGTERM to cgrun does.
        @Test func stoppedUnitGetsTheStopSignalAndItsGrace() throws {
            let unit = "asked-\(harness.marker.text)"
            let file = harness.path("report")
            for (code, status) in [(0, "exit 0"), (7, "exit 7"), (138, "trap - USR1; kill -USR1 $$")] {
                let job = try harness.startCgrun([
                    "--report", file, "--unit", unit, "--stop-signal", "USR1", "--kill-after", "20s", "--", "sh", "-c",
                    "trap 'sleep 0.1; echo asked; \(status)' USR1; echo ready; while :; do sleep 0.01; done",
                ])
                try job.waitForOutput("ready")
                try harness.systemctl("stop", "\(unit).scope")
                let outcome = try job.end()
                #expect(outcome.output == "ready\nasked\n" && outcome.exitCode == code, "\(outcome)")
                let report = try harness.report(file)
                #expect(report.cause == .unitStopped, "\(report.evidence)")
                #expect(outcome.errors.contains(text: " its unit, \(unit).scope, "), "\(outcome)")
                try harness.expectNothingLeft()
                try harness.expectNoUnit()
            }
        }

        /// A shell dies of the stop signal at once; its children have the grace all the same.
        @Test func stoppedUnitGivesTheWholeTreeItsGrace() throws {
            let unit = "tree-\(harness.marker.text)"
            let slow = "trap 'sleep 0.3; echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
            let job = try harness.startCgrun([
                "--unit", unit, "--kill-after", "20s", "--", "sh", "-c", "sh -c \"$1\" & wait", "sh", slow,
            ])
            try job.waitForOutput("ready")
            try harness.systemctl("stop", "\(unit).scope")
            let outcome = try job.end()
            #expect(outcome.output == "ready\ncleaned\n" && outcome.exitCode == 143, "\(outcome)")
            #expect(outcome.errors.contains(text: "was ended by SIGTERM with its unit, \(unit).scope"), "\(outcome)")
            try harness.expectNothingLeft()
            try harness.expectNoUnit()
        }

        @Test func stoppedUnitEndsTheJobAfterTheGrace() throws {
            let file = harness.path("report")
            let job = try startTree(
                "--report", file, "--kill-after", "1s", "--unit", "stopped-\(harness.marker.text)")
            try harness.systemctl("stop", "stopped-\(harness.marker.text).scope")
            let outcome = try job.end()
            #expect(outcome.exitCode == 137)
            #expect(outcome.errors.contains(text: "was killed with its unit"), "\(outcome.errors)")
            let report = try harness.report(file)
            #expect(report.cause == .unitStopped)
            #expect(report.containment.unit == "stopped-\(harness.marker.text).scope")
            try harness.expectNothingLeft()
            try harness.expectNoUnit()
        }

        /// The manager has ended command and guard by the time cgrun looks: the guard is not to blame.
        @Test func stoppedUnitIsToldByALateLauncher() throws {
            let file = harness.path("report")
            let unit = "late-\(harness.marker.text)"
            let job = try startTree("--report", file, "--kill-after", "1s", "--unit", unit)
            job.send(.stop)
            try harness.systemctl("stop", "\(unit).scope")
            try eventually("command and guard ended: \(harness.marker.survivors)") {
                harness.marker.survivors.allSatisfy { $0.pid == job.pid || ProcessTable.state($0.pid) == "Z" }
            }
            job.send(.continue)
            #expect(try job.end().exitCode == 137)
            #expect(try harness.report(file).cause == .unitStopped)
            try harness.expectNothingLeft()
            try harness.expectNoUnit()
        }

        @Test func stoppedGuardUnitEndsTheJob() throws {
            let job = try startTree("--kill-after", "1s", "--unit", "g-\(harness.marker.text)")
            try harness.systemctl("stop", "g-\(harness.marker.text)-guard.scope")
            #expect(try job.end().exitCode == 137)
            try harness.expectNothingLeft()
        }

        /// A service that is stopped, or killed, takes the jobs along that it had started.
        @Test(arguments: [["stop"], ["kill", "-s", "KILL"]])
        func jobsGoWithTheServiceThatStartedThem(_ verb: [String]) throws {
            let unit = "caller-\(harness.marker.text).service"
            let user = Capability.isRoot ? [] : ["--user"]
            let run = try harness.start(
                ["systemd-run", "--quiet", "--unit", unit] + user
                    + ["--setenv", "\(Marker.variable)=\(harness.marker.text)", "--", Programs.cgrun]
                    + ["--kill-after", "100ms", "--", Programs.probe, "tree", "3"]
            ).end()
            #expect(run.exitCode == 0, "\(run.errors)")
            try eventually("the tree") { harness.marker.survivors.count { $0.command == "probe-daemon" } == 3 }
            _ = try harness.start(["systemctl"] + user + verb + [unit]).end()
            try harness.expectNothingLeft()
            _ = try harness.start(["systemctl"] + user + ["reset-failed", unit]).end()
            try harness.expectNoUnit()
        }

        @Test func reloadAndReexecutionDisturbNothing() throws {
            let job = try startTree()
            try harness.systemctl("daemon-reload")
            try harness.systemctl("daemon-reexec")
            pause(.milliseconds(300))
            #expect(harness.marker.survivors.count == 1 + Capability.helperCount + 4)
            #expect(try harness.cgrun("true").exitCode == 0)
            job.send(.kill)
            _ = try job.end()
            try harness.expectNothingLeft()
            // And as the last guard.
            let lost = try startTree()
            try harness.systemctl("daemon-reexec")
            try harness.killTogether(lost, harness.survivor("cgrun-guard"))
            try harness.expectNothingLeft()
            try harness.expectNoUnit()
        }

        @Test func busRestarted() throws {
            let job = try startTree()
            try harness.systemctl("restart", "dbus.service")
            #expect(try harness.cgrun("true").exitCode == 0)
            #expect(harness.marker.survivors.count == 1 + Capability.helperCount + 4)
            job.send(.kill)
            _ = try job.end()
            try harness.expectNothingLeft()
        }

        /// PID 1 ends what a lost user manager leaves. Nobody can start that manager again without root,
        /// so this runs alone.
        @Test(
            .enabled(
                if: ThisProcess.environmentVariable("CGRUN_TEST_LOSE_MANAGER") != nil,
                "would end the user manager for all other tests"))
        func userManagerKilled() throws {
            let file = harness.path("report")
            let job = try startTree("--report", file)
            let manager = try harness.start(["pgrep", "-u", "\(ThisProcess.effectiveUserID)", "-x", "systemd"]).end()
            let pid = try #require(manager.lines.first.flatMap { ProcessID($0) })
            try ProcessDescriptor(pid: pid).send(.kill)
            #expect(try job.end().exitCode == 137)
            try harness.expectNothingLeft()
            let cause = try harness.report(file).cause
            #expect(cause == .unitStopped || cause == .guardLost)
        }

        // MARK: Units

        @Test func aNameCanBeUsedAgainAndAgain() throws {
            let unit = "again-\(harness.marker.text)"
            for _ in 0..<20 { #expect(try harness.cgrun("--unit", unit, "true").exitCode == 0) }
            let first = try startTree("--unit", unit)
            let second = try harness.cgrun("--unit", unit, "--", "echo", "ran")
            #expect(second.exitCode == 125)
            #expect(second.output.isEmpty)
            #expect(second.errors.contains(text: "UnitExists") && second.errors.contains(text: "another --unit"))
            #expect(harness.marker.survivors.count == 1 + Capability.helperCount + 4, "the first is not touched")
            first.send(.kill)
            _ = try first.end()
            try harness.expectNothingLeft()
            try harness.expectNoUnit()
        }

        @Test func unitIsAsAskedFor() throws {
            let unit = "asked-\(harness.marker.text)"
            let job = try startTree(
                "--unit", unit, "--slice", "asked", "--description", "What it is for", "-p", "Documentation=man:true(1)"
            )
            let shown = try harness.systemctl(
                "show", unit + ".scope", "-p", "Slice", "-p", "Description", "-p", "Documentation", "-p", "BindsTo")
            for line in [
                "Slice=asked.slice", "Description=What it is for", "Documentation=\"man:true(1)\"",
                "BindsTo=\(unit)-guard.scope",
            ] {
                #expect(shown.lines.contains(line), "\(shown.output)")
            }
            job.send(.kill)
            _ = try job.end()
            try harness.expectNothingLeft()
        }

        @Test(arguments: [["-p", "Slice=x.slice"], ["-p", "OOMPolicy=never"], ["--slice", "a b"]])
        func badValuesLeaveNothing(_ options: [String]) throws {
            let outcome = try harness.startCgrun(options + ["--", "echo", "ran"]).end()
            #expect(outcome.exitCode == 125)
            #expect(outcome.output.isEmpty)
            try harness.expectNothingLeft()
        }

        @Test func theReportNamesTheUnitAndItsManager() throws {
            let report = try harness.reported("true").report
            #expect(report.containment.systemdVersion?.first?.isNumber == true)
            #expect(report.containment.layers.map(\.name).contains("manager"))
            #expect(report.containment.cgroup?.contains(text: "/cgrun-\(report.jobID).scope/cgrun-") == true)
            let version = Int(report.containment.systemdVersion?.prefix { $0.isNumber } ?? "") ?? 0
            let unknown = report.unavailable.filter { $0.field.hasPrefix("containment.unit: ") }.map(\.field)
            #expect(unknown.contains("containment.unit: PIDFDs") == (version < 255))
            #expect(version < 253 || !unknown.contains("containment.unit: OOMPolicy"))
        }

        @Test func aThousandDeathsLeaveTheirStatistics() throws {
            // Whoever reads them has to be faster than systemd, or to have seen to it that the scope stays.
            for _ in 0..<rounds / 2 {
                let report = try harness.reported("sh", "-c", "i=0; while [ $i -lt 500 ]; do i=$((i+1)); done").report
                #expect(report.cpu.usageSeconds ?? 0 > 0)
            }
        }

        // MARK: Many

        @Test func hundredsOfJobsLeaveNoUnit() throws {
            let before = openDescriptorCount
            for _ in 0..<min(500, rounds * 3) { #expect(try harness.cgrun("true").exitCode == 0) }
            #expect(openDescriptorCount == before)
            try harness.expectNothingLeft()
            try harness.expectNoUnit()
        }

        @Test func aHundredJobsAtATime() throws {
            let jobs = try (0..<min(100, rounds)).map { _ in try harness.startCgrun(["--", "sleep", "0.5"]) }
            for job in jobs { #expect(try job.end(within: .seconds(60)).exitCode == 0) }
            try harness.expectNothingLeft()
            try harness.expectNoUnit()
        }

        // MARK: Limits

        private static let limited = Capability.has("--mem") && Capability.has("--pids")

        @Test(.enabled(if: limited, "no memory and pids controllers"))
        func limitsAreShownByTheUnitAndHeldBelowIt() throws {
            let unit = "limited-\(harness.marker.text)"
            let job = try startTree("--unit", unit, "--mem", "64M", "--pids", "32")
            let shown = try harness.systemctl(
                "show", unit + ".scope", "-p", "MemoryMax", "-p", "TasksMax", "-p", "OOMPolicy")
            #expect(shown.lines.contains("MemoryMax=83886080"), "16 MiB for the holder: \(shown.output)")
            #expect(shown.lines.contains("TasksMax=33"), "the holder is one more: \(shown.output)")
            let cgroup = try #require(
                TestCgroups.jobs.first { $0.contains(text: unit) })
            #expect(try readTextFile(cgroup + "/memory.max") == "67108864\n")
            #expect(try readTextFile(cgroup + "/pids.max") == "32\n")
            job.send(.kill)
            _ = try job.end()
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: limited && Capability.isRoot, "needs a slice of its own with a limit"))
        func limitOfASliceAboveIsToldFromTheJobsOwn() throws {
            let slice = "cgruntest\(harness.marker.text.prefix(8)).slice"
            #expect(
                try harness.systemctl("set-property", "--runtime", slice, "MemoryMax=48M", "MemorySwapMax=0").exitCode
                    == 0)
            defer { _ = try? harness.systemctl("revert", slice) }
            let (outcome, report) = try harness.reported(
                "--slice", slice, "--mem", "256M", "--", Programs.probe, "allocate", "128")
            #expect(outcome.exitCode == 137)
            #expect(report.cause == .oomAncestor)
            #expect(outcome.errors.contains(text: slice), "\(outcome.errors)")
            let own = try harness.reported("--slice", slice, "--mem", "16M", "--", Programs.probe, "allocate", "128")
            #expect(own.report.cause == .oomOwnLimit)
            try harness.expectNothingLeft()
            try harness.systemctl("stop", slice)
        }

        @Test(
            .enabled(
                if: ThisProcess.environmentVariable("CGRUN_TEST_EXHAUST") != nil, "would use up this machine's memory"))
        func theMachineOutOfMemoryIsToldFromALimit() throws {
            let (outcome, report) = try harness.reported("--", Programs.probe, "allocate", "8000")
            #expect(outcome.exitCode == 137)
            #expect(report.cause == .oomSystem || report.memory.events == nil, "\(report.evidence)")
            try harness.expectNothingLeft()
        }

        /// Without a policy an OOM kill takes its victim alone; the unit's takes the whole job.
        @Test(.enabled(if: limited, "no memory controller"))
        func oneVictimOrAll() throws {
            let command = ["--mem", "32M", "--", Programs.probe, "child-allocate", "100", "ignore"]
            let alone = try harness.startCgrun(command).end()
            #expect(alone.exitCode == 0)
            let file = harness.path("report")
            let sleeper = ["sh", "-c", "\(Programs.probe) child-allocate 100 ignore; sleep 60"]
            let all = try harness.startCgrun(
                ["--report", file, "-p", "OOMPolicy=kill", "--mem", "32M", "--"] + sleeper
            ).end(within: .seconds(50))
            guard access(file, F_OK) == 0 else { throw TestFailure("no report: \(all)") }
            let version = try harness.report(file).containment.systemdVersion?.prefix { $0.isNumber }
            if Int(version ?? "") ?? 0 >= 253 {
                #expect(all.exitCode == 137)
                let report = try harness.report(file)
                #expect(report.memory.eventsLocal?["oom_group_kill"] ?? 1 == 1)
                // systemd stops the unit as well, and may have removed the cgroup before it was read.
                #expect([.oomOwnLimit, .unitStopped].contains(report.cause), "\(report.cause): \(report.evidence)")
            }
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: limited, "no memory controller"))
        func jobsInAJobWithoutLimitsCanHaveThem() throws {
            let inner = "\(Programs.cgrun) --mem 32M -- \(Programs.probe) allocate 64; echo status $?"
            let outcome = try harness.cgrun("--", "sh", "-c", inner)
            #expect(outcome.output.contains(text: "status 137"), "\(outcome)")
            try harness.expectNothingLeft()
        }

        // MARK: A pool

        /// A job is a pool: what is started in it needs no manager, and stays within its limits.
        @Test func jobsInAJobAskNobody() throws {
            let inner = "\(Programs.cgrun) --report-fd 1 true; \(Programs.cgrun) -- cat /proc/self/cgroup"
            let outcome = try harness.start(
                [Programs.cgrun, "--cgroup-manager", "systemd", "env", "-u", "CGRUN_CGROUP_MANAGER", "sh", "-c", inner]
            ).end()
            #expect(outcome.output.contains(text: "\"manager\" : \"cgroupfs\""), "\(outcome)")
            #expect(outcome.output.contains(text: ".scope/cgrun-"))
            let script = "for i in 1 2 3 4 5; do \(Programs.cgrun) -- \(Programs.probe) plant 2 & done; wait"
            #expect(try harness.cgrun("--", "sh", "-c", script).lines.count == 5)
            try harness.expectNothingLeft()
            try harness.expectNoUnit()
        }

        // MARK: No bus

        /// One that listens and never answers, and the runtime directory that it is in.
        private func startSilentManager() throws -> (TestProcess, directory: String) {
            let directory = harness.path("run")
            let listener = try harness.start([
                "sh", "-c",
                "mkdir -p \(directory)/systemd && exec \(Programs.probe) listen \(directory)/systemd/private",
            ])
            try listener.waitForOutput("listening")
            return (listener, directory)
        }

        @Test func unreachableManagers() throws {
            let nowhere = try harness.start(
                [Programs.cgrun, "--user", "--", "echo", "ran"], environment: ["XDG_RUNTIME_DIR": "/nonexistent"]
            ).end()
            #expect(nowhere.exitCode == 125)
            #expect(nowhere.output.isEmpty)
            #expect(nowhere.errors.contains(text: "/run/user/"), "\(nowhere.errors)")
            let (listener, directory) = try startSilentManager()
            let silent = try harness.start(
                [Programs.cgrun, "--user", "--", "echo", "ran"], environment: ["XDG_RUNTIME_DIR": directory])
            pause(.milliseconds(500))
            #expect(!silent.hasEnded)
            // Whoever does not want to wait for 30 seconds, need not.
            silent.send(.interrupt)
            let outcome = try silent.end(within: .seconds(5))
            #expect(outcome.exitCode == 125)
            #expect(outcome.errors.contains(text: "interrupted"), "\(outcome.errors)")
            listener.send(.kill)
            _ = try listener.end()
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: ThisProcess.environmentVariable("CGRUN_TEST_LONG") != nil, "takes half a minute"))
        func aManagerThatNeverAnswers() throws {
            let (listener, directory) = try startSilentManager()
            let outcome = try harness.start(
                [Programs.cgrun, "--user", "--", "echo", "ran"], environment: ["XDG_RUNTIME_DIR": directory]
            ).end(within: .seconds(40))
            #expect(outcome.exitCode == 125)
            #expect(outcome.output.isEmpty)
            #expect(outcome.errors.contains(text: "no answer within 30 s"), "\(outcome.errors)")
            #expect(harness.marker.survivors.map(\.pid) == [listener.pid], "no child is left")
            listener.send(.kill)
            _ = try listener.end()
            try harness.expectNothingLeft()
        }
    }
}
