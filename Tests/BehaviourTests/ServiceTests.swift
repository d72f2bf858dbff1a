import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import Services
import TestSupport
import Testing

extension Trait where Self == ConditionTrait {
    /// For services, each of which needs a unit of systemd's or a raw cgroup.
    static var whereServicesAre: Self {
        .enabled(if: Capability.usesSystemd || Capability.mayMakeCgroups, "no cgroup can be made")
    }

    /// For what a service does in the same way wherever its cgroup is: `Tests/run` leaves that out where another tier has
    /// the same backend.
    static var inFull: Self {
        .enabled(
            if: ThisProcess.environmentVariable("CGRUN_TEST_SERVICES") != "few",
            "services are tried in full with this backend elsewhere")
    }
}

extension Behaviour {
    /// What a service does for those who start, ask and stop it.
    @Suite(.onRealMachines, .whereServicesAre) struct ServiceCommands {
        let scene: ServiceScene

        init() throws { scene = try ServiceScene() }

        @Test func startStatusStop() throws {
            let started = try scene.run("start", "web", "--", "sleep", "1000")
            let pid = try #require(Int32(started.output.split(separator: " ").last?.dropLast() ?? ""))
            #expect(started.exitCode == 0 && started.output == "web is ready: pid \(pid)\n")
            let status = try scene.status("web")
            #expect(status.state == .running && status.ready && status.pid == pid && status.pids == [pid])
            #expect(status.argv == ["sleep", "1000"] && status.starts == 1 && status.restarts == 0)
            #expect(status.cgroup?.hasSuffix("/cgrun-svc-web") == true)
            let text = try scene.run("status", "web")
            #expect(text.exitCode == 0 && text.output.hasPrefix("web: running, since 2"), "\(text)")
            #expect(try scene.run("pid", "web").output == "\(pid)\n")
            let again = try scene.run("start", "web", "--", "sleep", "1")
            #expect(again.exitCode == 0 && again.output == "web is already running: pid \(pid)\n")
            #expect(try scene.run("stop", "web").output == "web is stopped\n")
            // Nothing waits for it: what is gone is gone when the command returns.
            #expect(scene.harness.marker.survivors.isEmpty)
            let stopped = try scene.run("status", "web")
            #expect(stopped.exitCode == 3 && stopped.output.hasPrefix("web: stopped"))
            #expect(try scene.run("pid", "web").exitCode == 3)
            #expect(try scene.run("stop", "web").output == "web does not run\n")
            try scene.expectNothingLeft()
        }

        /// It is started as the last time, in the same place, with the same environment.
        @Test func startAsTheLastTime() throws {
            let script = "echo $PWD $GREETING; exec sleep 1000"
            try scene.begin("web", "-E", "GREETING=hello", "-C", "/usr", "--", "sh", "-c", script)
            try scene.run("stop", "web")
            #expect(try scene.run("start", "web").exitCode == 0)
            try eventually("two lines") { try scene.lines("web") == ["/usr hello", "/usr hello"] }
            try scene.run("stop")
            try scene.expectNothingLeft()
        }

        @Test func manyStartsMakeOneService() throws {
            let starts = try (0..<20).map { _ in
                try scene.start("start", "web", "--ready", "delay=50ms", "--", "sleep", "1000")
            }
            let outputs = try starts.map { try $0.end() }
            #expect(outputs.allSatisfy { $0.exitCode == 0 }, "\(outputs)")
            #expect(outputs.count { $0.output.hasPrefix("web is ready") } == 1)
            #expect(scene.harness.marker.survivors.count { $0.command == "sleep" } == 1)
            #expect(try scene.status("web").starts == 1)
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        @Test func failureShowsTheEndOfTheLog() throws {
            let script = "for i in $(seq 30); do echo line $i; done; exit 3"
            let outcome = try scene.run("start", "web", "--restart", "no", "--", "sh", "-c", script)
            #expect(outcome.exitCode == 1)
            #expect(outcome.errors.hasPrefix("cgrun: web: sh exited with 3\n"), "\(outcome)")
            #expect(outcome.errors.contains(text: "  line 30\n") && outcome.errors.contains(text: "  line 12\n"))
            #expect(!outcome.errors.contains(text: "line 11\n"), "the last 20 lines, one of them the keeper's")
            #expect(try scene.status("web").state == .failed)
            try scene.expectNothingLeft()
        }

        @Test func whatCannotStart() throws {
            let missing = try scene.run("start", "web", "--", "/no/such/command")
            #expect(missing.exitCode == 1 && missing.errors.contains(text: "web: /no/such/command: command not found"))
            // A limit that cannot be enforced.
            let limit = try scene.run("start", "lim", "--io-max", "/proc:rbps=1M", "--", "sleep", "1000")
            #expect(limit.exitCode == 125 && limit.errors.contains(text: "lim: "), "\(limit)")
            try scene.expectNothingLeft()
        }

        @Test(arguments: [
            (["start", "a b", "--", "true"], 125), (["start", "web", "--bogus", "--", "true"], 125), (["start"], 125),
            (["start", "web"], 4), (["status", "web"], 4), (["stop", "web"], 4), (["pid", "web"], 4),
            (["logs", "web"], 4), (["logs", "-n", "x"], 125), (["frob"], 125), (["start", "--help"], 0),
        ])
        func mistakes(_ words: [String], _ code: Int) throws {
            let process = try scene.harness.startCgrun(["service"] + words, environment: scene.environment)
            let outcome = try process.end()
            #expect(outcome.exitCode == code, "\(outcome)")
            #expect(outcome.errors.split(separator: "\n").count == (code == 0 ? 0 : 1))
            #expect(access(scene.harness.path("state"), F_OK) != 0, "something was made")
        }

        @Test func crashLoopIsGivenUp() throws {
            _ = try scene.run(
                "start", "web", "--backoff", "1ms..2ms", "--give-up", "5/1m", "--", "sh", "-c", "echo no; exit 1")
            let status = try scene.waitFor("web") { $0.state == .failed }
            #expect(status.starts == 5 && status.restarts == 4)
            #expect(status.reason == "given up, since it failed 5 times within 60.0s; the last time: sh exited with 1")
            #expect(try scene.lines("web").count == 5)
            try scene.expectNothingLeft()
        }

        /// The lock of the file shows an old process beside a new one.
        @Test func restartNeverOverlaps() throws {
            let lock = try scene.harness.writeFile("lock", "")
            // It takes its time to end.
            let script = "trap 'sleep 0.2; exit 0' TERM; sleep 1000 & wait"
            try scene.begin(
                "web", "--kill-mode", "mixed", "--", "flock", "-n", "-F", "-E", "9", lock, "bash", "-c", script)
            for count in 2...4 {
                #expect(try scene.run("restart", "web").exitCode == 0)
                let status = try scene.status("web")
                #expect(status.starts == count && status.state == .running && status.restarts == 0)
            }
            try scene.run("stop", "web")
            #expect(try scene.run("restart", "web").exitCode == 0, "what does not run is started")
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        /// Whoever waits for a stop gets it, also if somebody else has the service started anew.
        @Test func stopAndStartAtOnce() throws {
            try scene.begin(
                "web", "--kill-after", "400ms", "--ready", "log=deaf", "--", "sh", "-c",
                "trap '' TERM; echo deaf; while :; do sleep 1; done")
            let stop = try scene.start("stop", "web")
            try scene.waitFor("web") { $0.state == .stopping }
            let start = try scene.start("start", "web")
            #expect(try stop.end().exitCode == 0)
            #expect(try start.end().exitCode == 0)
            #expect(try scene.status("web").starts == 2)
            try scene.run("stop")
            try scene.expectNothingLeft()
        }

        /// A service that waits to be started again is started at once; one whose command is gone says so.
        @Test func startAndRestartInBackoff() throws {
            let program = try scene.harness.writeFile("program", "#!/bin/sh\nexit 1\n")
            chmod(program, 0o755)
            _ = try scene.run("start", "web", "--backoff", "100s", "--", program)
            try scene.waitFor("web") { $0.state == .backoff }
            _ = try scene.harness.writeFile("program", "#!/bin/sh\nexec sleep 1000\n")
            #expect(try scene.run("start", "web").exitCode == 0)
            unlink(program)
            let gone = try scene.run("restart", "web")
            #expect(gone.exitCode == 1 && gone.errors.contains(text: "command not found"), "\(gone)")
            try scene.run("stop")
            try scene.expectNothingLeft()
        }

        /// Another command can take the place of one that does not run, and of no other.
        @Test func anotherCommand() throws {
            _ = try scene.run("start", "web", "--backoff", "100s", "--", "sh", "-c", "exit 1")
            try scene.waitFor("web") { $0.state == .backoff }
            #expect(try scene.run("start", "web", "--", "sleep", "1000").exitCode == 0)
            let status = try scene.status("web")
            #expect(status.argv == ["sleep", "1000"] && status.starts == 1)
            let third = try scene.run("start", "web", "--", "sleep", "2000")
            #expect(third.exitCode == 0 && third.errors.contains(text: "web: runs as it was started before"))
            #expect(try scene.status("web").pid == status.pid)
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        @Test func reloadSendsItsSignal() throws {
            try scene.begin(
                "web", "--reload-signal", "USR1", "--ready", "log=begun", "--", "bash", "-c",
                "trap 'echo reloaded' USR1; echo begun; while :; do sleep 0.02; done")
            #expect(try scene.run("reload", "web").exitCode == 0)
            try eventually("the signal") { try scene.lines("web") == ["begun", "reloaded"] }
            #expect(try scene.status("web").starts == 1)
            try scene.run("stop", "web")
            #expect(try scene.run("reload", "web").exitCode == 3)
            try scene.expectNothingLeft()
        }

        @Test func whoBlocksTheStopIsNamed() throws {
            try scene.begin(
                "web", "--kill-after", "300ms", "--ready", "log=deaf", "--", "sh", "-c",
                "trap '' TERM; sleep 1000 & echo deaf; wait")
            let outcome = try scene.run("stop", "web")
            #expect(outcome.exitCode == 0 && outcome.output == "web is stopped\n")
            #expect(outcome.errors.contains(text: "had to be killed, since it had not ended in time: sh ("))
            #expect(outcome.errors.contains(text: ", sleep ("), "\(outcome)")
            try scene.expectNothingLeft()
        }

        @Test func daemonsAreWaitedFor() throws {
            try scene.begin("web", "--wait-all", "--", "sh", "-c", "setsid sleep 1000 & exit 0")
            let status = try scene.waitFor("web") { $0.pids.count == 1 && $0.pid == nil }
            #expect(status.state == .running)
            // So does a next keeper.
            kill(try #require(status.keeper), SIGKILL)
            let after = try scene.waitFor("web") { $0.keeper == status.guard }
            #expect(after.state == .running && after.pids == status.pids && after.starts == 1)
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        @Test func waitExitsAsTheCommand() throws {
            _ = try scene.run("start", "web", "--restart", "no", "--", "sh", "-c", "exit 7")
            #expect(try scene.run("wait", "web").exitCode == 7)
            let waiting = try { () throws in
                try scene.begin("slow", "--restart", "no", "--", "sh", "-c", "sleep 0.2; exit 5")
                return try scene.start("wait", "slow")
            }()
            #expect(try waiting.end().exitCode == 5)
            try scene.expectNothingLeft()
        }

        @Test func stopAll() throws {
            for name in ["a", "b", "c"] { try scene.begin(name, "--", "sleep", "1000") }
            #expect(try scene.run("status").lines.count { $0.contains(text: ": running") } == 3)
            #expect(try scene.run("stop").lines == ["a is stopped", "b is stopped", "c is stopped"])
            try scene.expectNothingLeft()
        }

        /// A daemon leaves its main process, which has no pid then.
        @Test func daemons() throws {
            let daemon = "(setsid sleep 1000 &) ; sleep 0.05"
            let kept = try scene.run("start", "web", "--wait-all", "--ready", "delay=300ms", "--", "sh", "-c", daemon)
            #expect(kept.output == "web is ready\n")
            let reload = try scene.run("reload", "web")
            #expect(reload.exitCode == 1 && reload.errors.contains(text: "its main process has left others behind"))
            try scene.run("stop", "web")
            let killed = try scene.run("start", "web", "--restart", "no", "--", "sh", "-c", daemon)
            #expect(killed.output.contains(text: "and what it had left behind was killed"))
            try scene.expectNothingLeft()
        }

        /// What is wrong with one name holds up no other.
        @Test func stopOfSeveral() throws {
            try scene.begin("slow", "--kill-after", "1s", "--ready", "log=deaf", "--", "sh", "-c", Self.deaf)
            let stop = try scene.run("stop", "nosuch", "slow")
            #expect(stop.exitCode == 4 && stop.output == "slow is stopped\n", "\(stop)")
            #expect(scene.harness.marker.survivors.isEmpty)
            try scene.begin("slow", "--", "sleep", "1000")
            let down = try scene.cgrun("down", "nosuch", "slow")
            #expect(down.exitCode == 4 && down.output == "slow is stopped\n", "\(down)")
            try scene.expectNothingLeft()
        }

        private static let deaf = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"
    }
}

extension Behaviour {
    /// What needs controllers.
    @Suite(.whereServicesAre) struct ServiceLimits {
        let scene: ServiceScene

        init() throws { scene = try ServiceScene() }

        @Test(.enabled(if: Capability.has("--mem"), "--mem cannot be enforced here"))
        func aCommandThatMeetsItsLimit() throws {
            let outcome = try scene.run(
                "start", "web", "--mem", "48M", "--restart", "no", "--ready", "delay=30s", "--", "python3", "-c",
                "x = bytearray(100 << 20)", within: .seconds(60))
            #expect(outcome.exitCode == 1 && outcome.errors.contains(text: "killed by the kernel at its memory limit"))
            let status = try scene.status("web")
            #expect(status.state == .failed && status.lastDeath?.cause == "oom_own_limit", "\(status)")
            try scene.expectNothingLeft()
        }

        /// A next keeper counts on where the first one counted, and makes the next cgroup in the same place.
        @Test(.enabled(if: Capability.has("--pids") && Capability.has("--mem"), "no such limits here"))
        func limitsHoldAfterALoss() throws {
            try scene.begin("web", "--mem", "64M", "--pids", "20", "--", "sleep", "1000")
            let before = try scene.status("web")
            #expect(before.memoryLimitBytes == 64 << 20 && before.memoryBytes != nil)
            kill(try #require(before.keeper), SIGKILL)
            let after = try scene.waitFor("web") { $0.keeper == before.guard }
            #expect(after.memoryBytes != nil && after.cgroup == before.cgroup)
            #expect(try scene.run("restart", "web").exitCode == 0)
            let anew = try scene.status("web")
            #expect(anew.cgroup == before.cgroup && anew.pid != before.pid && anew.memoryBytes != nil)
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }
    }
}
