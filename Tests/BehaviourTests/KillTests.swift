import CgroupSandbox
import Cgroups
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

/// How many random moments each loop tries.
private let rounds = ThisProcess.environmentVariable("CGRUN_TEST_ROUNDS").flatMap { Int($0) } ?? 300

extension Behaviour {
    /// Whoever is killed, and whenever: nothing survives.
    @Suite struct Kill {
        let harness: Harness

        init() throws { harness = try Harness() }

        /// A job that stays, with deaf daemons in sessions of their own.
        private func startTree(_ options: String..., daemons: Int = 3) throws -> TestProcess {
            let job = try harness.startCgrun(options + ["--", Programs.probe, "tree", "\(daemons)"])
            try job.waitForOutput("planted")
            return job
        }

        /// `cgroup.kill` does not reach a process whose main thread has ended while another goes on.
        @Test func headlessProcessesDie() throws {
            let headless = ["--", Programs.probe, "headless"]
            func start(_ words: [String]) throws -> TestProcess {
                let job = try harness.startCgrun(words)
                try job.waitForOutput("made 1")
                // Such a process has no environment any more, by which it could be found.
                try eventually("the end of the main thread") {
                    try listing("/proc").contains { name in
                        ProcessID(name).flatMap(ProcessTable.commandName) == "cgrun-probe"
                            && ProcessTable.field(0, of: name) == "Z"
                            && (try? listing("/proc/\(name)/task"))?.count == 2
                    }
                }
                return job
            }
            // At a stop, as a stray, in a job inside the job, and after a loss of the launcher and of all.
            #expect(try start(["--timeout", "1s", "--kill-after", "0"] + headless).end().exitCode == 124)
            let stray = try harness.cgrun("--", "sh", "-c", "\(Programs.probe) headless & sleep 0.3")
            #expect(stray.exitCode == 0, "\(stray.errors)")
            try harness.expectNothingLeft()
            for words in [headless, ["--", Programs.cgrun] + headless] {
                let job = try start(words)
                job.send(.kill)
                _ = try job.end()
                try harness.expectNothingLeft()
            }
            guard !Capability.usesSystemd else { return }
            let job = try start(headless)
            try harness.killTogether(job, #require(harness.marker.guards.first))
            #expect(try harness.cgrun("sweep").exitCode == 0)
            try harness.expectNothingLeft()
        }

        @Test func launcherKilledAtRandomMoments() throws {
            let descriptors = openDescriptorCount
            // Longer than a whole run of the job that ends, so that every moment has its turn.
            let whole = try measure { _ = try harness.cgrun("--", Programs.probe, "plant", "2") }
            for round in 0..<rounds {
                let verb = round.isMultiple(of: 2) ? "tree" : "plant"
                let job = try harness.startCgrun(["--", Programs.probe, verb, "2"])
                pause(whole * Double.random(in: 0...1.3))
                job.send(.kill)
                _ = try job.end()
                try harness.expectNothingLeft()
            }
            #expect(openDescriptorCount == descriptors)
        }

        /// Before the guard is told of the job, there is no job that its report could be on.
        @Test func launcherKilledWhileItsCgroupsAreMade() throws {
            // With limits there is more to make, and more time to be killed in.
            let limits = [("--mem", "64M"), ("--pids", "64"), ("--cpu", "1")].filter { Capability.has($0.0) }
            let options = ["--report", harness.path("report")] + limits.flatMap { [$0.0, $0.1] }
            for _ in 0..<rounds / 3 {
                let job = try harness.startCgrun(options + ["--", Programs.probe, "tree", "1"])
                while !job.hasEnded, TestCgroups.jobs.isEmpty {}
                job.send(.kill)
                _ = try job.end()
                try harness.expectNothingLeft()
            }
        }

        @Test(.enabled(if: !Capability.usesSystemd, "systemd ends the job of a guard that is lost"))
        func guardKilledAtRandomMoments() throws {
            for _ in 0..<rounds / 3 {
                let job = try harness.startCgrun(["--", Programs.probe, "tree", "2"])
                pause(.microseconds(Int.random(in: 0...6_000)))
                let killed = harness.marker.guards
                for guardian in killed { try? ProcessDescriptor(pid: guardian.pid).send(.kill) }
                // The launcher starts another one, and the job goes on.
                try job.waitForOutput("planted")
                try eventually("another guard") {
                    harness.marker.guards.contains { now in !killed.contains { $0.pid == now.pid } }
                }
                job.send(.kill)
                _ = try job.end()
                try harness.expectNothingLeft()
            }
        }

        @Test(.enabled(if: !Capability.usesSystemd, "systemd ends the job of a guard that is lost"))
        func guardIsReplacedAsOftenAsItIsKilled() throws {
            let report = harness.path("report")
            let job = try startTree("--report", report, "--kill-after", "0")
            var last: ProcessID = 0
            for _ in 0..<10 {
                try eventually("another guard") { harness.marker.guards.contains { $0.pid != last } }
                last = harness.marker.guards.first { $0.pid != last }!.pid
                try ProcessDescriptor(pid: last).send(.kill)
            }
            try eventually("another guard") { harness.marker.guards.contains { $0.pid != last } }
            job.send(.terminate)
            #expect(try job.end().exitCode == 137)
            #expect(try harness.report(report).containment.guardsReplaced == 10)
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: !Capability.usesSystemd, "systemd ends the job of a guard that is lost"))
        func jobDiesWhenItsGuardCannotBeReplaced() throws {
            let program = harness.path("guard")
            _ = try harness.start(["cp", Programs.guardian, program]).end()
            let report = harness.path("report")
            let job = try harness.startCgrun(
                ["--report", report, "--", Programs.probe, "tree", "2"], environment: ["CGRUN_GUARD": program])
            try job.waitForOutput("planted")
            _ = try harness.start(["rm", program]).end()
            let guardian = try harness.survivor("guard")
            try ProcessDescriptor(pid: guardian.pid).send(.kill)
            let outcome = try job.end()
            #expect(outcome.exitCode == 137)
            #expect(outcome.errors.contains(text: "its guard was lost"))
            #expect(try harness.report(report).cause == .guardLost)
            try harness.expectNothingLeft()
        }

        /// A stopped guard does nothing; the promise is that its job dies as soon as it goes on,
        /// and that it counts as alive until then.
        @Test func stoppedGuardActsOnceItContinues() throws {
            let job = try startTree()
            let guardian = try ProcessDescriptor(pid: harness.survivor("cgrun-guard").pid)
            try guardian.send(.stop)
            try eventually("the guard to stop") { ProcessTable.state(guardian.pid) == "T" }
            job.send(.kill)
            _ = try job.end()
            let sweep = try harness.cgrun("sweep")
            #expect(!sweep.output.contains(text: "probe"), "a guarded job is no leftover")
            #expect(harness.marker.survivors.count > 1)
            try guardian.send(.continue)
            try harness.expectNothingLeft()
        }

        /// cgrun itself needs no answer from a guard that it dismisses.
        @Test func stoppedGuardDoesNotHoldUpANormalEnd() throws {
            let file = harness.path("end")
            let script = "echo ready; until [ -e \(file) ]; do sleep 0.01; done"
            let job = try harness.startCgrun(["--", "sh", "-c", script])
            // Before that, cgrun does need an answer.
            try job.waitForOutput("ready")
            try ProcessDescriptor(pid: harness.survivor("cgrun-guard").pid).send(.stop)
            _ = try harness.writeFile("end", "")
            #expect(try job.end().exitCode == 0)
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: !Capability.usesSystemd, "systemd ends the job of a guard that is lost"))
        func launcherAndGuardKilledAtOnceAreSwept() throws {
            for _ in 0..<10 {
                let job = try startTree()
                try harness.killTogether(job, harness.survivor("cgrun-guard"))
                #expect(harness.marker.survivors.count == 4, "the job alone")
                let preview = try harness.cgrun("sweep", "--dry-run")
                #expect(preview.output.contains(text: "would remove"))
                #expect(harness.marker.survivors.count == 4)
                let sweep = try harness.cgrun("sweep")
                #expect(sweep.output.contains(text: "probe-daemon"), "\(sweep)")
                #expect(sweep.exitCode == 0)
                try harness.expectNothingLeft()
            }
        }

        /// The shell around it ends because its launcher was lost, and not the other way round.
        @Test(.onRealMachines) func aWrapperThatEndsNextIsNotTheCause() throws {
            for round in 0..<20 {
                let file = harness.path("report\(round)")
                let script = "\(Programs.cgrun) --report \(file) -- sh -c 'echo $PPID; exec sleep 1000'; exit 0"
                let wrapper = try harness.start(["sh", "-c", script])
                try wrapper.waitForOutput("\n")
                let launcher = try #require(ProcessID(wrapper.output.dropLast()))
                #expect(kill(launcher, SIGKILL) == 0)
                _ = try wrapper.end()
                try harness.expectNothingLeft()
                try eventually("a report") { (try? harness.report(file)) != nil }
                let report = try harness.report(file)
                #expect(report.cause == .launcherLost && report.confidence == .certain)
            }
        }

        /// cgroup v1 lets the job rename its groups.
        @Test(
            .onRealMachines,
            .enabled(if: Capability.isHybrid && Capability.isRoot && Capability.has("--mem"), "needs cgroup v1"))
        func renamedGroupsAreRemoved() throws {
            let rename =
                "for c in memory pids; do g=/sys/fs/cgroup/$c$(grep :$c: /proc/self/cgroup | cut -d: -f3); "
                + "mkdir $g/inner; mv $g ${g%/*}/renamed-\(harness.marker.text) || exit 9; done"
            for rest in ["exit 3", "echo ready; exec sleep 1000"] {
                let job = try harness.startCgrun(
                    ["--mem", "1G", "--pids", "100", "--", "sh", "-c", "\(rename); \(rest)"])
                if rest != "exit 3" {
                    try job.waitForOutput("ready")
                    job.send(.kill)
                }
                let outcome = try job.end()
                #expect(outcome.exitCode == (rest == "exit 3" ? 3 : nil), "\(outcome)")
                try harness.expectNothingLeft()
                try eventually("no renamed group") {
                    try harness.start(["find", "/sys/fs/cgroup", "-name", "renamed-\(harness.marker.text)"]).end()
                        .output
                        == ""
                }
            }
        }

        /// What is mounted over a cgroup keeps it from being removed. That is told, and the next sweep has the rest.
        @Test(.onRealMachines, .enabled(if: Capability.isHybrid && Capability.isRoot, "needs to mount"))
        func coveredCgroupIsToldAndSwept() throws {
            let mount = Capability.isHybrid ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup"
            let cover =
                "mount -t tmpfs none \(mount)$(grep ^0:: /proc/self/cgroup | cut -d: -f3); \(Programs.probe) plant 2; exit 3"
            let outcome = try harness.start(
                ["unshare", "--mount", Programs.cgrun, "--cgroup-manager", "cgroupfs", "--", "sh", "-c", cover]
            ).end()
            #expect(outcome.exitCode == 3, "\(outcome)")
            #expect(outcome.errors.contains(text: "sh has ended, but its cgroup could not be removed"), "\(outcome)")
            #expect(harness.marker.survivors.isEmpty)
            let sweep = try harness.cgrun("sweep")
            #expect(sweep.output.contains(text: "removed: "), "\(sweep)")
            try harness.expectNothingLeft()
        }

        /// A stopped launcher enforces nothing. Its guard does, and the launcher tells why once it goes on.
        @Test(.onRealMachines, arguments: [["--kill-after", "100ms"], ["--kill-after", "0"]])
        func stoppedLauncherAtTheTimeLimit(_ grace: [String]) throws {
            let file = harness.path("report")
            let job = try harness.startCgrun(
                grace + ["--report", file, "--timeout", "3s", "--", Programs.probe, "tree", "3"])
            try job.waitForOutput("planted")
            job.send(.stop)
            // All of it: a launcher that goes on while the command is dying has its own part in the end.
            try eventually("the tree's end: \(harness.marker.survivors)") {
                !harness.marker.survivors.contains { $0.command.contains("probe") }
            }
            #expect(!job.hasEnded)
            job.send(.continue)
            let outcome = try job.end()
            let report = try harness.report(file)
            #expect(outcome.exitCode == 124, "\(outcome), \(report.evidence)")
            #expect(report.cause == .timeoutWall && report.termination.escalated)
            #expect(
                outcome.errors.contains(
                    text: "cgrun-probe was stopped at its time limit (--timeout 3s) and killed by the guard"),
                "\(outcome)")
            try harness.expectNothingLeft()
        }

        /// The guard knows of the time limit before the command runs, which may stop its launcher first of all. Many at
        /// once, so that commands overtake their launchers.
        @Test(.onRealMachines) func launchersStoppedByTheirCommands() throws {
            let jobs = try (0..<30).map { _ in
                try harness.startCgrun([
                    "--timeout", "500ms", "--kill-after", "0", "--", "sh", "-c", "kill -STOP $PPID; exec sleep 1000",
                ])
            }
            for job in jobs {
                try eventually("\(job.pid) to stop") { job.hasEnded || ProcessTable.state(job.pid) == "T" }
            }
            try eventually("the trees' end: \(harness.marker.survivors)") {
                !harness.marker.survivors.contains { $0.command == "sleep" || $0.command == "sh" }
            }
            for job in jobs { job.send(.continue) }
            for job in jobs { #expect(try job.end().exitCode == 124) }
            try harness.expectNothingLeft()
        }

        /// Anybody may call a cgroup as cgrun calls a job's. Only what cgrun has marked is its own.
        @Test(.onRealMachines, .enabled(if: Capability.mayMakeCgroups, "only root may make cgroups here"))
        func whatIsNotCgrunsIsNotSwept() throws {
            let path = TestCgroups.own[0] + "/" + JobName.make().cgroup
            let enter = "mkdir \(path) && echo $$ > \(path)/cgroup.procs && echo in && exec sleep 1000"
            let other = try harness.start(["sh", "-c", enter])
            try other.waitForOutput("in")
            #expect(try harness.cgrun("true").exitCode == 0)
            #expect(try !harness.cgrun("sweep").output.contains(text: path))
            #expect(!other.hasEnded)
            other.send(.kill)
            _ = try other.end()
            try eventually("an empty cgroup") { rmdir(path) == 0 }
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: !Capability.usesSystemd, "systemd ends the job of a guard that is lost"))
        func nextRunSweepsWhatTheLastOneLeft() throws {
            let live = try startTree()
            let liveGuard = try harness.survivor("cgrun-guard")
            let lost = try startTree()
            let lostGuard = try #require(harness.marker.guards.first { $0.pid != liveGuard.pid })
            try harness.killTogether(lost, lostGuard)
            #expect(harness.marker.survivors.count == 2 + 4 + 4, "both jobs")
            #expect(try harness.cgrun("true").exitCode == 0)
            #expect(harness.marker.survivors.count == 2 + 4, "the live job is not touched")
            live.send(.kill)
            _ = try live.end()
            try harness.expectNothingLeft()
        }

        @Test func reportIsWrittenAfterALoss() throws {
            for _ in 0..<min(20, rounds) {
                let file = harness.path("report")
                let job = try startTree("--report", file)
                job.send(.kill)
                _ = try job.end()
                try harness.expectNothingLeft()
                let report = try harness.report(file)
                #expect(report.cause == .launcherLost)
                #expect(report.result == .unknown)
                #expect(report.launcherExitCode == nil)
                #expect(report.cpu.usageSeconds ?? 0 > 0)
                _ = try harness.start(["rm", file]).end()
            }
        }

        @Test func lossOfTheReportPathLosesNothingElse() throws {
            let directory = harness.path("gone")
            _ = try harness.start(["mkdir", directory]).end()
            let job = try startTree("--report", directory + "/report")
            _ = try harness.start(["rmdir", directory]).end()
            job.send(.kill)
            _ = try job.end()
            try harness.expectNothingLeft()
        }
    }

    /// The process that started cgrun is lost.
    @Suite struct ParentLoss {
        let harness: Harness

        init() throws { harness = try Harness() }

        /// `sh` that started cgrun and waits for it.
        private func startUnderShell(_ options: String) throws -> TestProcess {
            // A second command keeps the shell from becoming cgrun.
            let script = "\(Programs.cgrun) \(options) -- \(Programs.probe) tree 3; :"
            let shell = try harness.start(["sh", "-c", script])
            try shell.waitForOutput("planted")
            return shell
        }

        @Test func jobDiesWithTheParent() throws {
            for _ in 0..<min(50, rounds) {
                let shell = try startUnderShell("")
                shell.send(.kill)
                _ = try shell.end()
                try harness.expectNothingLeft()
            }
        }

        @Test func parentKilledAtRandomMoments() throws {
            for _ in 0..<rounds / 3 {
                // In a session of its own: cgrun could not tell the parent's end from a start by whoever adopts
                // orphans, if that one were of the same session.
                let shell = try harness.start(
                    ["sh", "-c", "\(Programs.cgrun) -- \(Programs.probe) tree 2; :"], newSession: true)
                pause(.microseconds(Int.random(in: 0...8_000)))
                shell.send(.kill)
                _ = try shell.end()
                try harness.expectNothingLeft()
            }
        }

        @Test func aParentThatIsGoneAlreadyIsLost() throws {
            let script = "(while test -e /proc/$$; do sleep 0.01; done; exec \(Programs.cgrun) -- echo ran) &"
            let shell = try harness.start(["sh", "-c", script], newSession: true)
            _ = try shell.end()
            try eventually("a refusal: \(shell.output)\(shell.errors)") {
                shell.errors.contains(text: "gone already")
            }
            #expect(shell.output == "")
            try harness.expectNothingLeft()
        }

        @Test func reportNamesTheLoss() throws {
            let file = harness.path("report")
            let shell = try startUnderShell("--report \(file)")
            shell.send(.kill)
            _ = try shell.end()
            try harness.expectNothingLeft()
            #expect(try harness.report(file).cause == .parentLost)
        }

        @Test func stoppedLauncherDoesNotSaveTheJob() throws {
            let shell = try startUnderShell("")
            let launcher = try harness.survivor("cgrun")
            let process = try ProcessDescriptor(pid: launcher.pid)
            try process.send(.stop)
            shell.send(.kill)
            _ = try shell.end()
            // The tree at once; the launcher is nobody's to kill.
            try eventually("only the launcher and its guard left: \(harness.marker.survivors)") {
                harness.marker.survivors.allSatisfy { $0.command.hasPrefix("cgrun") }
            }
            try process.send(.continue)
            try harness.expectNothingLeft()
        }

        @Test func jobOutlivesTheParentWhenAsked() throws {
            let shell = try startUnderShell("--no-die-with-parent")
            shell.send(.kill)
            _ = try shell.end()
            pause(.milliseconds(200))
            #expect(harness.marker.survivors.count == 1 + Capability.helperCount + 4)
            let launcher = try harness.survivor("cgrun")
            try ProcessDescriptor(pid: launcher.pid).send(.kill)
            try harness.expectNothingLeft()
        }

        @Test func launcherAndParentKilledTogether() throws {
            for _ in 0..<20 {
                let shell = try startUnderShell("")
                let launcher = try harness.survivor("cgrun")
                let process = try ProcessDescriptor(pid: launcher.pid)
                shell.send(.kill)
                try process.send(.kill)
                _ = try shell.end()
                try harness.expectNothingLeft()
            }
        }
    }
}

private func measure(_ body: () throws -> Void) rethrows -> Duration {
    let start = BootTime.now
    try body()
    return BootTime.now - start
}
