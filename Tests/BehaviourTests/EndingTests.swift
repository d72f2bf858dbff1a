import CgroupSandbox
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// Who is asked to end, who gets time for that, and who is waited for.
    @Suite(.onRealMachines) struct Ending {
        let harness: Harness

        init() throws { harness = try Harness() }

        /// Starts processes that need a while to end once they are asked to: each in a session of its own, and the second
        /// is stopped.
        private var slow: String {
            """
            rm -f \(harness.path("ready"))*
            slow() { exec setsid sh -c 'trap "sleep 0.3; echo cleaned $1; exit 0" TERM; echo ready $1
                touch \(harness.path("ready"))$1
                test $1 = 1 || kill -STOP $$
                while :; do sleep 0.01; done' sh $1; }
            slow 1 & slow 2 &
            """
        }

        /// Waits until both are ready.
        private var awaitSlow: String {
            "until test -e \(harness.path("ready1")) && test -e \(harness.path("ready2")); do sleep 0.01; done"
        }

        /// Time enough for both, also on a machine that has much else to do.
        private let aWhile = "3s"

        /// Starts two slow processes behind a command that does not handle SIGTERM.
        private func start(_ options: String..., command: String = "wait") throws -> TestProcess {
            let job = try harness.startCgrun(options + ["--", "sh", "-c", "\(slow)\n\(command)"])
            try job.waitForOutput("ready 1")
            try job.waitForOutput("ready 2")
            return job
        }

        private func wereAsked(_ outcome: Outcome) -> Bool {
            let cleaned = ["cleaned 1", "cleaned 2"].map(outcome.lines.contains)
            #expect(cleaned[0] == cleaned[1], "\(outcome)")
            return cleaned[0]
        }

        /// As with timeout(1) and Ctrl-C, all are asked; and the grace is for all.
        @Test func aStopIsForTheWholeTree() throws {
            for options in [[], ["--strays", "term"], ["--kill-mode", "control-group"]] {
                let job = try harness.startCgrun(options + ["--", "sh", "-c", "\(slow)\nwait"])
                try job.waitForOutput("ready 1")
                try job.waitForOutput("ready 2")
                job.send(.terminate)
                let outcome = try job.end()
                #expect(wereAsked(outcome) && outcome.exitCode == 143, "\(outcome)")
                try harness.expectNothingLeft()
            }
        }

        @Test func aTimeoutIsForTheWholeTree() throws {
            let file = harness.path("report")
            let job = try harness.startCgrun(
                ["--report", file, "--timeout", aWhile, "--", "sh", "-c", "\(slow)\nwait"])
            let outcome = try job.end()
            #expect(wereAsked(outcome) && outcome.exitCode == 124, "\(outcome)")
            let report = try harness.report(file)
            #expect(report.cause == .timeoutWall && !report.termination.escalated && report.strays.isEmpty)
            try harness.expectNothingLeft()
        }

        /// For a command that ends its children in its own way.
        @Test func mixedAsksTheCommandAlone() throws {
            let job = try start("--kill-mode", "mixed")
            job.send(.terminate)
            let outcome = try job.end()
            #expect(!wereAsked(outcome) && outcome.exitCode == 143, "\(outcome)")
            let gentle = try start("--kill-mode", "mixed", "--strays", "term")
            gentle.send(.terminate)
            let asked = try gentle.end()
            #expect(wereAsked(asked) && asked.exitCode == 143, "\(asked)")
            try harness.expectNothingLeft()
        }

        @Test func whatIsDeafIsKilledAfterTheGrace() throws {
            let file = harness.path("report")
            let job = try harness.startCgrun([
                "--report", file, "--kill-after", "300ms", "--", "sh", "-c", "\(Programs.probe) plant 2; sleep 1000",
            ])
            try job.waitForOutput("planted")
            job.send(.terminate)
            let outcome = try job.end()
            #expect(outcome.exitCode == 143)
            let report = try harness.report(file)
            #expect(report.termination.escalated && report.strays.count == 2, "\(report.strays)")
            #expect(outcome.errors.contains(text: ", and what it had left was killed 300ms later."), "\(outcome)")
            try harness.expectNothingLeft()
        }

        // MARK: What the command leaves

        @Test func straysAreKilledOrAsked() throws {
            for (options, areAsked) in [([], false), (["--strays", "kill"], false), (["--strays", "term"], true)] {
                let file = harness.path("report")
                let command = "\(slow)\n\(awaitSlow); exit 3"
                let outcome = try harness.startCgrun(options + ["--report", file, "--", "sh", "-c", command]).end()
                #expect(wereAsked(outcome) == areAsked && outcome.exitCode == 3, "\(options): \(outcome)")
                let report = try harness.report(file)
                #expect(report.straysKilled == !areAsked && report.strays.count >= 2 && report.cause == .nonzeroExit)
                #expect(report.termination.cgroupKill == !areAsked)
                try harness.expectNothingLeft()
            }
        }

        @Test func deafStraysAreKilledAfterTheGrace() throws {
            let (outcome, report) = try harness.reported(
                "--strays", "term", "--kill-after", "200ms", "--", Programs.probe, "plant", "2")
            #expect(outcome.exitCode == 0 && report.cause == .normal)
            #expect(report.strays.count == 2 && report.termination.cgroupKill)
            #expect((report.termination.emptyAfterSeconds ?? 0) >= 0.2)
            try harness.expectNothingLeft()
        }

        // MARK: --wait-all

        private static let late = "(sleep 1; echo late) & (setsid sh -c 'sleep 0.2; echo later') & exit 4"

        @Test func allAreWaitedFor() throws {
            let (outcome, report) = try harness.reported("--wait-all", "--", "sh", "-c", Self.late)
            #expect(outcome.exitCode == 4 && outcome.output.split(separator: "\n").sorted() == ["late", "later"])
            #expect(!report.straysKilled && !report.termination.cgroupKill && report.cause == .nonzeroExit)
            #expect(
                (report.termination.emptyAfterSeconds ?? 0) > 0.3 && report.wallSeconds ?? 9 < 1)
            let alone = try harness.cgrun("--wait-all", "--", "sh", "-c", "exit 5")
            #expect(alone.exitCode == 5)
            try harness.expectNothingLeft()
        }

        @Test func theTimeLimitHoldsWhileAllAreWaitedFor() throws {
            let (outcome, report) = try harness.reported(
                "--wait-all", "--timeout", aWhile, "--", "sh", "-c", "sleep 1000 & exit 0")
            #expect(outcome.exitCode == 124 && report.cause == .timeoutWall && report.exitCode == 0)
            #expect(
                outcome.errors.contains(text: "sh had exited with 0, and what it had left was stopped"), "\(outcome)")
            #expect(!report.termination.escalated)
            let (burnt, used) = try harness.reported(
                "--wait-all", "--cpu-time", "300ms", "--", "sh", "-c", "\(Programs.probe) burn 20000 & exit 0")
            #expect(burnt.exitCode == 124 && used.cause == .timeoutCPU)
            try harness.expectNothingLeft()
        }

        @Test(arguments: [Signal.terminate, .interrupt, .hangUp, .quit])
        func aSignalEndsTheWait(_ signal: Signal) throws {
            let job = try harness.startCgrun([
                "--wait-all", "--verbose", "--", "sh", "-c",
                "(trap '' INT QUIT HUP; echo ready; exec sleep 1000) & exit 0",
            ])
            try job.waitForOutput("ready")
            try eventually("the command's end") { !harness.marker.survivors.contains { $0.command == "sh" } }
            pause(.milliseconds(50))
            #expect(!job.hasEnded)
            job.send(signal)
            let outcome = try job.end()
            #expect(outcome.exitCode == 0, "\(outcome)")
            try harness.expectNothingLeft()
        }

        private func openDescriptors(of pid: ProcessID) -> Int? {
            (try? harness.start(["ls", "/proc/\(pid)/fd"]).end())?.lines.count
        }

        @Test func lostWhileAllAreWaitedFor() throws {
            for victim in ["cgrun", "cgrun-guard"] {
                let job = try harness.startCgrun(["--wait-all", "--", "sh", "-c", "sleep 1000 & exit 0"])
                _ = try harness.survivor("sleep")
                let process = try harness.survivor(victim).pid
                let descriptors = openDescriptors(of: process)
                try ProcessDescriptor(pid: process).send(.kill)
                // A guard that is lost is replaced, or ends the job whose scope is bound to it.
                if victim == "cgrun-guard", !Capability.usesSystemd {
                    try eventually("another guard that knows the job") {
                        harness.marker.guards.contains {
                            $0.pid != process && openDescriptors(of: $0.pid) == descriptors
                        }
                    }
                    job.send(.kill)
                }
                _ = try job.end()
                try harness.expectNothingLeft()
            }
        }

        /// The guard ends it at the time limit, and the launcher says so.
        @Test(.onRealMachines) func stoppedWhileAllAreWaitedFor() throws {
            let file = harness.path("report")
            let job = try harness.startCgrun([
                "--report", file, "--wait-all", "--timeout", "1s", "--kill-after", "0", "--", "sh", "-c",
                "sleep 1000 & echo ready; exit 0",
            ])
            try job.waitForOutput("ready")
            try eventually("the command's end") { !harness.marker.survivors.contains { $0.command == "sh" } }
            pause(.milliseconds(50))
            job.send(.stop)
            try eventually("the tree's end") { !harness.marker.survivors.contains { $0.command == "sleep" } }
            job.send(.continue)
            #expect(try job.end().exitCode == 124)
            #expect(try harness.report(file).cause == .timeoutWall)
            try harness.expectNothingLeft()
        }
    }
}
