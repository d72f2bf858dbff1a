import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// Strays, big trees, jobs in jobs, and processes that cannot be killed.
    @Suite struct Tree {
        let harness: Harness

        init() throws { harness = try Harness() }

        @Test func straysAreKilledAndNamed() throws {
            let (outcome, report) = try harness.reported("--", Programs.probe, "plant", "3")
            #expect(outcome.exitCode == 0)
            #expect(report.straysKilled)
            #expect(report.strays.map(\.comm) == ["probe-daemon", "probe-daemon", "probe-daemon"])
            #expect(report.termination.cgroupKill)
            #expect(harness.marker.survivors.isEmpty, "gone when cgrun returns, not a moment later")
            try harness.expectNothingLeft(within: Capability.usesSystemd ? .seconds(10) : .zero)
        }

        @Test func aThousandProcessesDieWithTheCommand() throws {
            let (outcome, report) = try harness.reported("--", Programs.probe, "processes", "1000")
            #expect(outcome.output == "made 1000 refused 0\n")
            #expect(report.strays.count == 1_000)
            #expect(harness.marker.survivors.isEmpty)
            try harness.expectNothingLeft()
        }

        @Test func aThousandProcessesDieWithTheLauncher() throws {
            let job = try harness.startCgrun(["--", "sh", "-c", "\(Programs.probe) processes 1000; sleep 600"])
            try job.waitForOutput("made 1000")
            job.send(.kill)
            try harness.expectNothingLeft()
        }

        @Test func portIsFreeOnceTheLauncherIsKilled() throws {
            let server =
                "import socket,time; s=socket.socket(); s.bind(('127.0.0.1',0)); s.listen(); "
                + "print('port', s.getsockname()[1], flush=True); time.sleep(600)"
            let job = try harness.startCgrun(["--", "python3", "-c", server])
            try job.waitForOutput("\n")
            let port = String(job.output.dropFirst(5).dropLast())
            job.send(.kill)
            try harness.expectNothingLeft()
            let again = try harness.start([
                "python3", "-c", "import socket; socket.socket().bind(('127.0.0.1', \(port)))",
            ]).end()
            #expect(again.exitCode == 0, "\(again.errors)")
        }

        /// Each level would cost a descriptor, if all of them were open at a time.
        @Test(.onRealMachines, arguments: [false, true]) func cgroupsInCgroupsAreRemoved(_ isLost: Bool) throws {
            let script = """
                import os, time
                path = [line.strip()[3:] for line in open('/proc/self/cgroup') if line.startswith('0::')][0]
                os.chdir('\(Capability.isHybrid ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup")' + path)
                for _ in range(300): os.mkdir('a'); os.mkdir('b'); os.chdir('b')
                print('nested', flush=True)
                time.sleep(\(isLost ? 600 : 0))
                """
            let job = try harness.start([
                "sh", "-c", "ulimit -n 64; exec \"$@\"", "sh", Programs.cgrun, "--", "python3", "-c", script,
            ])
            try job.waitForOutput("nested")
            if isLost { job.send(.kill) }
            let outcome = try job.end()
            if !isLost { #expect(outcome.exitCode == 0 && outcome.errors == "") }
            try harness.expectNothingLeft()
        }

        @Test func jobInAJobIsNestedAndDiesWithTheOuter() throws {
            let inner = "\(Programs.cgrun) -- \(Programs.probe) tree 2; :"
            let job = try harness.startCgrun(["--", "sh", "-c", inner])
            try job.waitForOutput("planted")
            let paths = TestCgroups.jobs.sorted { $0.count < $1.count }
            #expect(paths.contains { outer in paths.contains { $0.hasPrefix(outer + "/") } }, "\(paths)")
            job.send(.kill)
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.has("--mem") && Capability.has("--pids"), "no controllers for this caller"))
        func limitsOfNestedJobsHold() throws {
            let inner = "\(Programs.cgrun) --mem 32M --report \(harness.path("inner")) -- \(Programs.probe) allocate 64"
            let (outcome, outer) = try harness.reported("--mem", "256M", "--", "sh", "-c", inner + "; echo status $?")
            #expect(outcome.output.contains(text: "status 137"))
            #expect(try harness.report(harness.path("inner")).cause == .oomOwnLimit)
            #expect(outer.exitCode == 0)
            // An inner limit cannot widen the outer one.
            let wide = "\(Programs.cgrun) --mem 512M -- \(Programs.probe) allocate 128; echo status $?"
            let narrow = try harness.cgrun("--mem", "64M", "--", "sh", "-c", wide)
            #expect(narrow.output.contains(text: "status 137"))
            try harness.expectNothingLeft()
        }

        @Test func severalNestedJobsRunAtATime() throws {
            let script = "for i in 1 2 3 4 5; do \(Programs.cgrun) -- sh -c 'sleep 0.2; echo done' & done; wait"
            let outcome = try harness.cgrun("--", "sh", "-c", script)
            #expect(outcome.lines.count == 5, "\(outcome)")
            try harness.expectNothingLeft()
        }

        @Test func eachJobHasItsOwnIdentifier() throws {
            let (outcome, report) = try harness.reported("--", "sh", "-c", "echo $CGRUN_JOB_ID; cat /proc/self/cgroup")
            #expect(outcome.lines.first == report.jobID)
            #expect(outcome.output.contains(text: "/cgrun-\(report.jobID)"))
            let outer = try harness.cgrun("--", Programs.cgrun, "--", "sh", "-c", "echo $CGRUN_JOB_ID")
            #expect(outer.lines.first != report.jobID)
        }

        /// Makes a group of the v1 freezer.
        private func makeFreezer() throws -> String {
            let freezer = "/sys/fs/cgroup/freezer/cgrun-test-\(harness.marker.text)"
            _ = try harness.start(["mkdir", freezer]).end()
            return freezer
        }

        /// Thaws what is in the group, and removes the group. Also to be called when a test fails: what stays frozen can be
        /// killed by nobody.
        private func remove(_ freezer: String) {
            let thaw = """
                echo THAWED > \(freezer)/freezer.state
                while read pid; do echo $pid > \(freezer)/../cgroup.procs; done < \(freezer)/cgroup.procs
                rmdir \(freezer)
                """
            _ = try? harness.start(["sh", "-c", thaw]).end()
        }

        /// A v1 freezer holds a process so that not even SIGKILL reaches it.
        @Test(
            .enabled(if: Capability.isHybrid && Capability.isRoot, "needs the v1 freezer to make a process unkillable"))
        func unkillableProcessIsReported() throws {
            let freezer = try makeFreezer()
            defer { remove(freezer) }
            let file = harness.path("report")
            let job = try harness.startCgrun(["--report", file, "--", Programs.probe, "tree", "1"])
            try job.waitForOutput("planted")
            let daemon = try harness.survivor("probe-daemon")
            let freeze = "echo \(daemon.pid) > \(freezer)/cgroup.procs; echo FROZEN > \(freezer)/freezer.state"
            _ = try harness.start(["sh", "-c", freeze]).end()
            job.send(.terminate)
            // The command is deaf: 5 s of grace, then 10 s for the kernel to do its work.
            let outcome = try job.end(within: .seconds(40))
            #expect(outcome.exitCode == 125)
            #expect(outcome.errors.contains(text: "do not die from SIGKILL (\(daemon.pid) probe-daemon)"))
            #expect(try harness.report(file).unkillable.map(\.pid) == [daemon.pid])
            #expect(harness.marker.survivors.contains { $0.command.hasPrefix("cgrun") }, "somebody stays with it")
            _ = try harness.start(["sh", "-c", "echo THAWED > \(freezer)/freezer.state"]).end()
            try harness.expectNothingLeft()
        }

        /// However many leftovers there are, a sweep takes no longer for all of them than for one.
        @Test(
            .enabled(if: Capability.isHybrid && Capability.isRoot, "needs the v1 freezer to make a process unkillable"))
        func aSweepWaitsOnceForAll() throws {
            let freezer = try makeFreezer()
            defer { remove(freezer) }
            // All of them first: each launch would sweep the ones before.
            let jobs = try (0..<4).map { _ in
                let job = try harness.startCgrun(["--", Programs.probe, "tree", "1"])
                try job.waitForOutput("planted")
                return job
            }
            try eventually("as many guards") { harness.marker.guards.count == jobs.count }
            let daemons = harness.marker.survivors.filter { $0.command == "probe-daemon" }
            let freeze =
                "for pid in \(daemons.map { "\($0.pid)" }.joined(separator: " ")); do echo $pid > \(freezer)/cgroup.procs; "
                + "done; echo FROZEN > \(freezer)/freezer.state"
            #expect(try harness.start(["sh", "-c", freeze]).end().exitCode == 0)
            let launchers = jobs.map(\.pid) + harness.marker.guards.map(\.pid)
            for signal in [SIGSTOP, SIGKILL] { for pid in launchers { #expect(kill(pid, signal) == 0) } }
            for job in jobs { _ = try job.end() }
            try eventually("the guards' end") { harness.marker.guards.isEmpty }
            let start = BootTime.now
            let sweep = try harness.cgrun("sweep")
            #expect(sweep.exitCode == 125, "\(sweep)")
            #expect(BootTime.now - start < .seconds(12), "5 s for each would be 20 s")
            _ = try harness.start(["sh", "-c", "echo THAWED > \(freezer)/freezer.state"]).end()
            #expect(try harness.cgrun("sweep").exitCode == 0)
            try harness.expectNothingLeft()
        }

        @Test(.onRealMachines) func commandJoinsByItselfWhereClone3IsFiltered() throws {
            let file = harness.path("report")
            let outcome = try harness.start([
                Programs.probe, "without", "clone3", Programs.cgrun, "--report", file, "--", Programs.probe, "plant",
                "2",
            ]).end()
            #expect(outcome.output == "planted 2\n", "\(outcome)")
            let report = try harness.report(file)
            #expect(report.containment.joinedBeforeExec)
            #expect(report.strays.count == 2)
            try harness.expectNothingLeft()
            for _ in 0..<100 {
                let job = try harness.start([
                    Programs.probe, "without", "clone3", Programs.cgrun, "--", Programs.probe, "tree", "2",
                ])
                pause(.microseconds(Int.random(in: 0...6_000)))
                job.send(.kill)
                _ = try job.end()
                try harness.expectNothingLeft()
            }
            let missing = try harness.start([Programs.probe, "without", "clone3", Programs.cgrun, "--", "no-such"])
                .end()
            #expect(missing.exitCode == 127)
            try harness.expectNothingLeft()
        }

        @Test func cgroupRemovedUnderItsFeet() throws {
            // Out of its own cgroup, whose directory then is anybody's to remove.
            let root = try #require(TestCgroups.own.first)
            let script =
                "echo $$ > \(root)/cgroup.procs 2>/dev/null || exit 77; rmdir \(root)/cgrun-$CGRUN_JOB_ID; exit 5"
            let outcome = try harness.cgrun("--", "sh", "-c", script)
            #expect(outcome.exitCode == 5 || outcome.exitCode == 77)
            try harness.expectNothingLeft()
        }
    }

    @Suite struct Sequence {
        @Test func hundredsOfJobsLeakNothing() throws {
            let harness = try Harness()
            let before = openDescriptorCount
            for _ in 0..<(patience == 1 ? 300 : 30) { #expect(try harness.cgrun("--", "true").exitCode == 0) }
            #expect(openDescriptorCount == before)
            try harness.expectNothingLeft()
        }

        @Test func manyJobsAtATime() throws {
            let harness = try Harness()
            // A manager on an emulated processor needs half a second for each, and has 30 s for the last.
            let count = patience == 1 ? 50 : 15
            let jobs = try (0..<count).map { _ in try harness.startCgrun(["--", Programs.probe, "plant", "2"]) }
            for job in jobs { let outcome = try job.end(); #expect(outcome.exitCode == 0, "\(outcome)") }
            try harness.expectNothingLeft()
        }
    }
}
