import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import Services
import TestSupport
import Testing

extension Behaviour {
    /// What becomes of what a service writes.
    @Suite(.onRealMachines, .whereServicesAre, .once) struct ServiceLogs {
        let scene: ServiceScene

        init() throws { scene = try ServiceScene() }

        /// A log of files has no times in it; the keeper notes where it was when.
        @Test func logSince() throws {
            try scene.begin("web", "--", "sh", "-c", "echo early; exec sleep 1000")
            try eventually("the first line") { try scene.lines("web") == ["early"] }
            Poller.pause(.milliseconds(2_200))
            let moment = Timestamp.now.text
            try scene.run("restart", "web")
            try eventually("the second line") { try scene.lines("web").count == 2 }
            let since = try scene.run("logs", "--since", moment, "web").lines.filter { !$0.hasPrefix("cgrun: ") }
            #expect(since == ["early"])
            #expect(try scene.run("logs", "--since", "1h", "web").lines.filter { $0 == "early" }.count == 2)
            try eventually("nothing new") { try scene.run("logs", "--since", "0", "web").output.isEmpty }
            for far in ["9999-12-31T23:59:59Z", "1000000h"] {
                #expect(try scene.run("logs", "--since", far, "web").exitCode == 0)
            }
            let wrong = try scene.run("logs", "--since", "yesterday", "web")
            #expect(wrong.exitCode == 125 && wrong.errors.contains(text: "--since yesterday: expected how long ago"))
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        @Test func logIsSetAsideAtLines() throws {
            try scene.begin(
                "web", "--log-max", "4K", "--log-keep", "100", "--restart", "no", "--", "sh", "-c", "seq 20000")
            _ = try scene.run("wait", "web")
            #expect(try scene.lines("web") == (1...20_000).map(String.init))
            let first = try readTextFile(scene.harness.path("state/services/web/log.3"))
            #expect(first.utf8.count >= 4096 && first.last == "\n")
            #expect(try scene.run("logs", "-n", "2", "web").lines.first == "20000")
            try scene.expectNothingLeft()
        }

        /// A file that is moved away is opened anew, without a restart; a full disk holds nobody up.
        @Test func logIsFollowedAndNeverBlocks() throws {
            let log = scene.harness.path("log")
            try scene.begin("web", "--log", log, "--", "bash", "-c", "while echo x; do sleep 0.01; done")
            try eventually("output") { ((try? readTextFile(log)) ?? "").contains(text: "x") }
            rename(log, log + ".old")
            try eventually("output again") { ((try? readTextFile(log)) ?? "").contains(text: "x") }
            // Emptied, as logrotate's copytruncate does.
            truncate(log, 0)
            try eventually("output once more") { ((try? readTextFile(log)) ?? "").hasPrefix("x") }
            // A disk that is full, as a limit on files is for the keeper.
            let full = try scene.harness.start(
                [
                    "bash", "-c",
                    "ulimit -f 8; exec \(Programs.cgrun) service start full --restart no -- sh -c 'seq 1000000; exit 4'",
                ], environment: scene.environment)
            #expect([0, 1].contains(try full.end().exitCode))
            #expect(try scene.run("wait", "full").exitCode == 4)
            try scene.run("stop")
            try scene.expectNothingLeft()
        }

        /// A service that writes as fast as it can, and lines without end, which are what takes the keeper longest, holds
        /// up neither its keeper nor those who ask.
        @Test func aFloodHoldsNobodyUp() throws {
            try scene.begin("web", "--log-max", "64K", "--log-keep", "1", "--", "cat", "/dev/zero")
            for _ in 0..<20 { #expect(try scene.status("web").state == .running) }
            #expect(try scene.run("stop", "web").output == "web is stopped\n")
            try scene.expectNothingLeft()
        }

        @Test func whatIsNoLog() throws {
            for log in ["/dev/null", "/dev/full", "/etc", "/no/such/directory/log"] {
                let outcome = try scene.run("start", "web", "--log", log, "--", "true")
                #expect(outcome.exitCode == 125 && outcome.errors.contains(text: "--log \(log): cannot be written"))
            }
            #expect(access("/dev/null.1", F_OK) != 0)
            try scene.expectNothingLeft()
        }

        @Test func logsOfSeveral() throws {
            try scene.begin("a", "--ready", "log=one", "--", "sh", "-c", "echo one; exec sleep 1000")
            try scene.begin("b", "--ready", "log=two", "--", "sh", "-c", "echo two; exec sleep 1000")
            #expect(try scene.run("logs").lines == ["a: one", "b: two"])
            let follower = try scene.start("logs", "-f", "a")
            try follower.waitForOutput("one")
            try scene.run("stop", "a")
            try follower.waitForOutput("SIGTERM")
            follower.send(.interrupt)
            _ = try follower.end()
            try scene.run("stop")
            try scene.expectNothingLeft()
        }

        /// A command that runs as another user may open /dev/stdout, as servers do that log there.
        @Test(.enabled(if: Capability.isRoot, "only root may change users"))
        func outputOfAnotherUser() throws {
            try scene.begin(
                "web", "--uid", "nobody", "--ready", "log=hello", "--", "sh", "-c",
                "echo hello > /dev/stdout; exec sleep 1000")
            #expect(try scene.run("stop", "web").exitCode == 0)
            try scene.expectNothingLeft()
        }
    }
}
