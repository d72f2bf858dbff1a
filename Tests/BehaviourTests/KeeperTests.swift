import CLinux
import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import Services
import TestSupport
import Testing

private let rounds = ThisProcess.environmentVariable("CGRUN_TEST_ROUNDS").flatMap { Int($0) } ?? 300

extension ServiceScene {
    /// Writes a number a line.
    static let counter = "i=0; while :; do echo $i; i=$((i + 1)); sleep 0.002; done"

    /// Every number, from 0 on, once in a row: nothing that was written is lost, or there twice.
    func expectNoGap(_ name: String) throws {
        let numbers = try lines(name).compactMap { Int($0) }
        #expect(numbers.first == 0 && numbers == Array(0..<numbers.count), "\(numbers.count) lines")
    }
}

extension Behaviour {
    /// A service outlives its keeper, and its guard.
    @Suite(.onRealMachines, .whereServicesAre, .inFull) struct Keepers {
        let scene: ServiceScene

        init() throws { scene = try ServiceScene() }

        @Test func aLostKeeperIsReplaced() throws {
            try scene.begin("web", "--", "bash", "-c", ServiceScene.counter)
            let before = try scene.status("web")
            kill(try #require(before.keeper), SIGKILL)
            let after = try scene.waitFor("web") { $0.keeper != nil && $0.keeper != before.keeper }
            #expect(after.keeper == before.guard, "the guard has become the keeper")
            #expect(after.state == .running && after.pid == before.pid && after.starts == 1)
            #expect(after.since == before.since)
            // It starts the command again, and its own end is no harm either.
            kill(try #require(after.pid), SIGKILL)
            let again = try scene.waitFor("web") { $0.state == .running && $0.starts == 2 }
            #expect(again.restarts == 1 && again.pid != after.pid)
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        /// The next keeper is not the command's parent. The kernel tells it how the command ended, once init has reaped
        /// it (Linux 6.15).
        @Test(.enabled(if: Capability.isBooted, "an init that reaps at once"))
        func howAnAdoptedCommandEnded() throws {
            let file = scene.harness.path("end")
            try scene.begin(
                "web", "--restart", "no", "--", "sh", "-c", "until [ -e \(file) ]; do sleep 0.01; done; exit 7")
            let before = try scene.status("web")
            kill(try #require(before.keeper), SIGKILL)
            try scene.waitFor("web") { $0.keeper == before.guard }
            _ = try scene.harness.writeFile("end", "")
            let death = try #require(try scene.waitFor("web") { $0.state == .failed }.lastDeath)
            #expect(death.exitCode == 7 || death.cause == "unknown", "\(death)")
            #expect(death.exitCode == 7 || !Self.kernelKeepsStatus)
            try scene.expectNothingLeft()
        }

        private static var kernelKeepsStatus: Bool {
            let numbers = Machine.kernelRelease.split(separator: ".").prefix(2).compactMap { Int($0) }
            return numbers.count == 2 && (numbers[0], numbers[1]) >= (6, 15)
        }

        /// What a next keeper starts finds what the first one's command found.
        @Test func theSurroundingsStay() throws {
            // Guards raise their soft limit on open files.
            let script = "ulimit -Sn 512; exec \"$@\" -- sh -c 'ulimit -Sn; echo $PWD $HOME; exec sleep 1000'"
            let start = try scene.harness.start(
                ["bash", "-c", script, "bash", Programs.cgrun, "service", "start", "web"],
                environment: scene.environment)
            #expect(try start.end().exitCode == 0)
            let before = try scene.status("web")
            kill(try #require(before.keeper), SIGKILL)
            try scene.waitFor("web") { $0.keeper == before.guard }
            try scene.run("restart", "web")
            try eventually("four lines") { try scene.lines("web").count == 4 }
            let lines = try scene.lines("web")
            #expect(lines.first == "512" && Array(lines[..<2]) == Array(lines[2...]))
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        @Test func aLostGuardIsReplaced() throws {
            try scene.begin("web", "--", "sleep", "1000")
            let before = try scene.status("web")
            kill(try #require(before.guard), SIGKILL)
            let after = try scene.waitFor("web") { $0.guard != nil && $0.guard != before.guard }
            #expect(after.keeper == before.keeper && after.pid == before.pid)
            kill(try #require(after.keeper), SIGKILL)
            try scene.waitFor("web") { $0.keeper == after.guard && $0.pid == before.pid }
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        /// The command's end is noticed, and is a failure, since nobody can tell how it ended.
        @Test func keeperAndCommandLostAtOnce() throws {
            for _ in 0..<max(3, rounds / 30) {
                try scene.begin("web", "--backoff", "1ms", "--give-up", "never", "--", "sleep", "1000")
                let before = try scene.status("web")
                for pid in [before.keeper, before.pid].shuffled() { kill(try #require(pid), SIGKILL) }
                // The keeper may have seen the command's end, and have been killed as it started it again.
                let after = try scene.waitFor("web") { $0.state == .running && $0.starts >= 2 }
                #expect(after.keeper == before.guard && after.restarts == after.starts - 1)
                try scene.run("stop", "web")
            }
            try scene.expectNothingLeft()
        }

        @Test func keeperLostInBackoffAndInAStop() throws {
            _ = try scene.run("start", "web", "--backoff", "300ms", "--", "sh", "-c", "exit 1")
            let waiting = try scene.waitFor("web") { $0.state == .backoff }
            kill(try #require(waiting.keeper), SIGKILL)
            try scene.waitFor("web") { $0.starts >= 2 }
            try scene.run("stop", "web")
            // Once more before the service has been started again: there is a guard all the time.
            try scene.begin(
                "deaf", "--kill-after", "1s", "--ready", "log=deaf", "--", "sh", "-c",
                "trap '' TERM; echo deaf; while :; do sleep 1; done")
            let stop = try scene.start("stop", "deaf")
            let stopping = try scene.waitFor("deaf") { $0.state == .stopping }
            kill(try #require(stopping.keeper), SIGKILL)
            #expect(try stop.end().output == "deaf is stopped\n", "whoever has asked for the stop gets it")
            #expect(try scene.status("deaf").state == .stopped)
            try scene.expectNothingLeft()
        }

        /// A keeper that has nothing to do but wait has a guard, too.
        @Test func keeperLostTwiceInBackoff() throws {
            _ = try scene.run("start", "web", "--backoff", "1000s", "--", "sh", "-c", "exit 1")
            for _ in 0..<2 {
                let waiting = try scene.waitFor("web") { $0.keeper != nil && $0.guard != nil }
                kill(try #require(waiting.keeper), SIGKILL)
                let next = try scene.waitFor("web") { $0.keeper == waiting.guard }
                #expect(next.state == .backoff && next.nextStart != nil)
            }
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        @Test(.once) func aStoppedKeeperIsNamed() throws {
            try scene.begin("web", "--", "sleep", "1000")
            let keeper = try #require(try scene.status("web").keeper)
            try scene.begin("other", "--", "sleep", "1000")
            kill(keeper, SIGSTOP)
            // All at once, since each waits for the same time.
            let stop = try scene.start("stop", "web")
            let ps = try scene.start(cgrun: ["ps"])
            let down = try scene.start(cgrun: ["down"])
            let outcome = try stop.end()
            let message = "its keeper (pid \(keeper)) does not answer"
            #expect(outcome.exitCode == 125 && outcome.errors.contains(text: message))
            // It holds up no other, and is listed as it was known last.
            let listed = try ps.end()
            #expect(listed.exitCode == 125 && listed.errors.contains(text: message), "\(listed)")
            #expect(listed.lines.contains { $0.hasPrefix("web ") } && listed.lines.contains { $0.hasPrefix("other ") })
            let stopped = try down.end()
            #expect(stopped.exitCode == 1 && stopped.output == "other is stopped\n", "\(stopped)")
            #expect(stopped.errors.contains(text: message))
            kill(keeper, SIGCONT)
            #expect(try scene.run("stop", "web").exitCode == 0)
            try scene.expectNothingLeft()
        }

        // MARK: Random moments

        /// The service goes on, its log has no gap, and nothing is there twice.
        @Test func killsAtRandomMoments() throws {
            try scene.begin("web", "--", "bash", "-c", ServiceScene.counter)
            let pid = try scene.status("web").pid
            var victims: Set<ProcessID> = []
            for _ in 0..<rounds {
                // Not before the keeper has seen the loss of its guard: to lose both is another story.
                let status = try scene.waitFor("web") {
                    $0.keeper != nil && $0.guard.map { !victims.contains($0) } == true
                }
                #expect(status.pid == pid && status.starts == 1, "\(status)")
                let victim = try #require(Bool.random() ? status.keeper : status.guard)
                pause(.microseconds(.random(in: 0...3_000)))
                kill(victim, SIGKILL)
                victims.insert(victim)
            }
            let last = try scene.waitFor("web") { $0.keeper != nil }
            #expect(last.pid == pid && last.state == .running)
            // A child of the shell has its name until it executes sleep.
            try eventually("one shell") { scene.harness.marker.survivors.count { $0.command == "bash" } == 1 }
            #expect(try scene.run("stop", "web").output == "web is stopped\n")
            try scene.expectNoGap("web")
            try scene.expectNothingLeft()
        }

        /// Keepers are killed while the command crashes: it is never there twice, and never forgotten.
        @Test func killsWhileTheCommandCrashes() throws {
            let lock = try scene.harness.writeFile("lock", "")
            // Whether the command has failed before it counts as ready does not matter here.
            _ = try scene.run(
                "start", "web", "--ready", "delay=0", "--backoff", "1ms..5ms", "--give-up", "never", "--", "flock",
                "-n",
                "-F", "-E", "9", lock, "bash", "-c", "sleep 0.0$((RANDOM % 5)); exit 1")
            for _ in 0..<max(10, rounds / 6) {
                let keeper = try scene.waitFor("web") { $0.keeper != nil && $0.guard != nil }.keeper
                pause(.microseconds(.random(in: 0...20_000)))
                kill(try #require(keeper), SIGKILL)
            }
            let before = try scene.waitFor("web") { $0.keeper != nil }.starts
            try scene.waitFor("web") { $0.starts > before }
            #expect(try scene.run("stop", "web").output == "web is stopped\n")
            #expect(!(try scene.run("logs", "web").output.contains(text: "exited with 9")), "there were two at once")
            try scene.expectNothingLeft()
        }
    }
}
