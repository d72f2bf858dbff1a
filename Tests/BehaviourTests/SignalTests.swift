import CgroupSandbox
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// What is sent to cgrun is meant for the command.
    @Suite(.onRealMachines) struct Signals {
        let harness: Harness

        init() throws { harness = try Harness() }

        /// A command that tells which signals it gets, and ends when no more come.
        private func startCatcher(_ options: String...) throws -> TestProcess {
            let job = try harness.startCgrun(options + ["--", Programs.probe, "catch", "200"])
            try job.waitForOutput("ready")
            return job
        }

        private static let forwarded: [Signal] = [.interrupt, .hangUp, .quit, .user1, .user2]

        /// All but those that stop or kill, tell of a fault, or ask to stop. The probe catches none above 31.
        private static let others = [6, 13, 14, 16, 23, 24, 25, 26, 27, 28, 29, 30].map { Signal(rawValue: $0) }

        @Test(arguments: forwarded + others) func arriveExactlyOnce(_ signal: Signal) throws {
            let job = try startCatcher()
            job.send(signal)
            let outcome = try job.end()
            #expect(outcome.lines == ["ready", "got \(signal.rawValue)"])
            #expect(outcome.exitCode == 0)
            try harness.expectNothingLeft()
        }

        @Test func realTimeSignalsArrive() throws {
            let job = try harness.startCgrun([
                "bash", "-c", "trap 'echo got; exit 7' RTMIN+3; echo ready; while :; do sleep 0.01; done",
            ])
            try job.waitForOutput("ready")
            job.send(Signal(rawValue: 37))
            #expect(try job.end().exitCode == 7)
            try harness.expectNothingLeft()
        }

        @Test func comeOneAfterTheOther() throws {
            let job = try startCatcher()
            for signal in Self.forwarded {
                job.send(signal)
                try job.waitForOutput("got \(signal.rawValue)")
            }
            #expect(try job.end().lines == ["ready"] + Self.forwarded.map { "got \($0.rawValue)" })
            try harness.expectNothingLeft()
        }

        @Test(arguments: forwarded) func endACommandThatDoesNotCatchThem(_ signal: Signal) throws {
            let job = try harness.startCgrun(["sh", "-c", "echo ready; exec sleep 1000"])
            try job.waitForOutput("ready")
            job.send(signal)
            let outcome = try job.end()
            #expect(outcome.shellStatus == 128 + Int(signal.rawValue))
            #expect(outcome.errors.contains(text: "\(signal)"))
            try harness.expectNothingLeft()
        }

        @Test func wakeAStoppedCommand() throws {
            let job = try harness.startCgrun(["sh", "-c", "echo ready $$; kill -STOP $$; echo awake; exit 4"])
            try job.waitForOutput("ready")
            let word = try #require(job.output.split(separator: "\n").first?.split(separator: " ").last)
            let pid = try #require(ProcessID(word))
            try eventually("a stopped command") { ProcessTable.state(pid) == "T" }
            job.send(.continue)
            #expect(try job.end().exitCode == 4)
            #expect(job.output.contains(text: "awake"))
            try harness.expectNothingLeft()
        }

        // MARK: A request to stop

        @Test func TERMStartsTheStopSignal() throws {
            let job = try startCatcher()
            job.send(.terminate)
            #expect(try job.end().lines == ["ready", "got 15"])
            try harness.expectNothingLeft()
        }

        @Test func theStopSignalIsAChoice() throws {
            let job = try startCatcher("--stop-signal", "USR2")
            job.send(.terminate)
            #expect(try job.end().lines == ["ready", "got 12"])
            try harness.expectNothingLeft()
        }

        @Test func aSecondRequestRepeatsTheSignal() throws {
            let job = try startCatcher()
            job.send(.terminate)
            try job.waitForOutput("got 15")
            job.send(.terminate)
            #expect(try job.end().lines == ["ready", "got 15", "got 15"])
            try harness.expectNothingLeft()
        }

        @Test func aPoliteCommandIsNotKilled() throws {
            let job = try harness.startCgrun([
                "sh", "-c", "trap 'exit 6' TERM; echo ready; while :; do sleep 0.01; done",
            ])
            try job.waitForOutput("ready")
            job.send(.terminate)
            #expect(try job.end().exitCode == 6)
            #expect(job.errors.contains(text: "stopped on request"))
            try harness.expectNothingLeft()
        }

        @Test func aDeafCommandIsKilledAfterTheGrace() throws {
            let report = harness.path("report")
            let job = try harness.startCgrun(
                ["--report", report, "--kill-after", "200ms", "--", Programs.probe, "deaf"])
            try job.waitForOutput("ready")
            let asked = BootTime.now
            job.send(.terminate)
            let outcome = try job.end()
            #expect(BootTime.now - asked >= .milliseconds(200))
            #expect(outcome.exitCode == 137)
            #expect(outcome.errors.contains(text: "200ms after SIGTERM"))
            let termination = try harness.report(report).termination
            #expect(termination.requestedBy == "caller")
            #expect(termination.signal?.name == "SIGTERM")
            #expect(termination.graceSeconds == 0.2)
            #expect(termination.escalated && termination.cgroupKill)
            try harness.expectNothingLeft()
        }

        @Test func withoutAGraceTheTreeIsKilledAtOnce() throws {
            let job = try startCatcher("--kill-after", "0")
            job.send(.terminate)
            let outcome = try job.end(within: .seconds(5))
            #expect(outcome.exitCode == 137)
            #expect(outcome.lines == ["ready"])
            try harness.expectNothingLeft()
        }

        // MARK: What the command starts with

        /// What `probe signals` tells under a shell's prelude, plain and through cgrun.
        private func dispositions(_ prelude: String) throws -> (plain: [String], job: [String]) {
            let plain = try harness.start(["sh", "-c", "\(prelude) \"$@\"", "sh", Programs.probe, "signals"]).end()
            let job = try harness.start(
                ["sh", "-c", "\(prelude) \"$@\"", "sh", Programs.cgrun, "--", Programs.probe, "signals"]
            ).end()
            #expect(plain.exitCode == 0 && job.exitCode == 0)
            return (plain.lines, job.lines)
        }

        @Test func theMaskIsClean() throws {
            let (plain, job) = try dispositions("exec")
            #expect(job == plain)
            // What the caller ignores (a systemd service, SIGPIPE) is the caller's business.
            #expect(!job.contains { $0.hasPrefix("blocked") })
            try harness.expectNothingLeft()
        }

        @Test func ignoredSignalsStayIgnored() throws {
            let (plain, job) = try dispositions("trap '' HUP INT USR1 PIPE TERM; exec")
            #expect(job == plain)
            // Whoever runs the tests may ignore others: Python does, SIGXFSZ.
            #expect(job.filter([1, 2, 10, 13, 15].map { "ignored \($0)" }.contains).count == 5)
            try harness.expectNothingLeft()
        }

        private static let canBlock =
            (try? Harness().start(["env", "--block-signal=USR1", "true"]).end().exitCode) == 0

        /// A thread of a pool blocks SIGTERM, and so does what it starts. The stop signal must reach the command.
        @Test(.enabled(if: canBlock, "env cannot block signals here"))
        func blockedSignalsReachTheCommand() throws {
            let block = ["env", "--block-signal=TERM", "--block-signal=USR1"]
            let signals = try harness.start(block + [Programs.cgrun, "--", Programs.probe, "signals"]).end()
            #expect(!signals.lines.contains { $0.hasPrefix("blocked") })
            let options = ["--timeout", "100ms", "--kill-after", "1h", "--report", harness.path("report")]
            let job = try harness.start(block + [Programs.cgrun] + options + ["--", "sleep", "1000"]).end()
            #expect(job.exitCode == 124)
            #expect(try !harness.report(harness.path("report")).termination.escalated)
            try harness.expectNothingLeft()
        }

        /// A timer of the caller's goes on after exec: `perl -e 'alarm 5; exec …'` is how some limit a command.
        @Test func aTimerOfTheCallersEndsTheCommand() throws {
            let script =
                "import os, signal, sys; signal.setitimer(signal.ITIMER_REAL, 0.2); os.execv(sys.argv[1], sys.argv[1:])"
            let outcome = try harness.start(["python3", "-c", script, Programs.cgrun, "--", "sleep", "1000"]).end()
            #expect(outcome.exitCode == 142)
            #expect(outcome.errors.contains(text: "SIGALRM, which was sent to cgrun and passed on"))
            try harness.expectNothingLeft()
        }

        @Test func nohupProtectsTheCommand() throws {
            let job = try harness.start(
                [
                    "sh", "-c", "trap '' HUP; exec \"$@\"", "sh", Programs.cgrun, "sh", "-c",
                    "echo ready; exec sleep 1000",
                ])
            try job.waitForOutput("ready")
            job.send(.hangUp)
            // Signals are passed on in order of their numbers: had the first one ended it, this one could not.
            job.send(.terminate)
            #expect(try job.end().exitCode == 143)
            try harness.expectNothingLeft()
        }

        /// Some daemons ignore SIGCHLD and leave it so to what they start; the kernel then keeps no exit status.
        @Test(.enabled(if: canBlock, "env cannot ignore signals here"))
        func anIgnoredSIGCHLDLosesNoStatus() throws {
            let outcome = try harness.start(
                ["env", "--ignore-signal=CHLD", Programs.cgrun, "--", Programs.probe, "exit", "3"]
            ).end()
            #expect(outcome.exitCode == 3)
            #expect(outcome.errors == "")
            try harness.expectNothingLeft()
        }
    }
}
