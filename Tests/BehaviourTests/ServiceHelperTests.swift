import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import Services
import TestSupport
import Testing

/// How often to try the same at other moments.
private let rounds = max(2, min(5, ThisProcess.environmentVariable("CGRUN_TEST_ROUNDS").flatMap { Int($0) } ?? 5))

extension Behaviour {
    /// What a keeper runs and writes besides the command.
    @Suite(.onRealMachines, .whereServicesAre, .inFull) struct ServiceHelpers {
        let scene: ServiceScene

        init() throws { scene = try ServiceScene() }

        @Test func readyByHTTP() throws {
            let script = """
                import socket, time
                begun = time.monotonic()
                s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", 23772)); s.listen()
                while True:
                    c = s.accept()[0]
                    request = c.recv(4096)
                    good = request.startswith(b"GET /health?x=1 HTTP/1.0\\r\\nHost: 127.0.0.1:23772\\r\\n")
                    late = time.monotonic() - begun > 0.5
                    c.sendall(b"HTTP/1.0 204 No\\r\\n\\r\\n" if good and late else b"HTTP/1.0 503 No\\r\\n\\r\\n"); c.close()
                """
            let started = BootTime.now
            try scene.begin("web", "--ready", "http=http://127.0.0.1:23772/health?x=1", "--", "python3", "-c", script)
            #expect(BootTime.now - started > .milliseconds(500))
            try scene.run("stop", "web")
            let never = try scene.run(
                "start", "web", "--ready", "http=http://127.0.0.1:23772/other", "--ready-timeout", "1s", "--restart",
                "no",
                "--", "python3", "-c", script)
            #expect(never.exitCode == 1 && never.errors.contains(text: "was not ready within 1.0s"), "\(never)")
            try scene.expectNothingLeft()
        }

        @Test func readyByCommand() throws {
            let flag = scene.harness.path("flag")
            try scene.begin(
                "web", "--ready", "exec=sh -c 'test -e \(flag) && test -e /proc/$MAINPID && echo probed $A > \(flag)'",
                "-E",
                "A=1", "--", "sh", "-c", "sleep 0.3; touch \(flag); exec sleep 1000")
            #expect(try readTextFile(flag) == "probed 1\n", "the probe has the service's environment")
            #expect(try scene.run("restart", "web").exitCode == 0)
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        /// A probe that hangs dies with the attempt to start, with all that it has started, and with its keeper.
        @Test func aProbeThatHangs() throws {
            let probe = "exec=sh -c 'setsid sleep 2000 & sleep 3000'"
            let failed = try scene.run(
                "start", "web", "--ready", probe, "--ready-timeout", "300ms", "--restart", "no", "--", "sleep", "1000")
            #expect(failed.exitCode == 1)
            // Long before its own time is over.
            try eventually(within: .seconds(5), "the end of \(scene.harness.marker.survivors)") {
                scene.harness.marker.survivors.isEmpty
            }
            for _ in 0..<rounds / 2 {
                let start = try scene.start("start", "web", "--ready", probe, "--", "sleep", "1000")
                try eventually("the probe") { scene.harness.marker.survivors.count { $0.command == "sleep" } >= 3 }
                let before = try scene.waitFor("web") { $0.keeper != nil && $0.guard != nil }
                let probes = scene.harness.marker.survivors.filter { $0.command == "sleep" && $0.pid != before.pid }
                kill(before.keeper!, SIGKILL)
                try scene.waitFor("web") { $0.keeper == before.guard && $0.state == .starting }
                try eventually("the end of \(probes)") { probes.allSatisfy { scene.isGone($0.pid) } }
                #expect(try scene.run("stop", "web").exitCode == 0)
                #expect(try start.end().exitCode == 1)
                #expect(scene.harness.marker.survivors.isEmpty, "\(scene.harness.marker.survivors)")
            }
            try scene.expectNothingLeft()
        }

        @Test func reloadRunsItsCommand() throws {
            let file = scene.harness.path("reloaded")
            try scene.begin(
                "web", "--reload-command", "sh -c 'sleep 0.2; echo $MAINPID > \(file); echo told'", "--", "sleep",
                "1000")
            #expect(try scene.run("reload", "web").exitCode == 0)
            let status = try scene.status("web")
            #expect(try readTextFile(file) == "\(try #require(status.pid))\n")
            #expect(status.reloads == 1 && status.reloadFailure == nil && status.starts == 1)
            #expect(try scene.lines("web") == ["told"])
            try scene.run("stop", "web")
            try scene.begin("bad", "--reload-command", "sh -c 'sleep 1000 & exit 9'", "--", "sleep", "1000")
            let failed = try scene.run("reload", "bad")
            #expect(
                failed.exitCode == 1 && failed.errors == "cgrun: bad: the reload failed: sh exited with 9\n",
                "\(failed)")
            #expect(try scene.status("bad").reloadFailure == "sh exited with 9")
            // One that is asked for while another goes on reads what is there then.
            let config = try scene.harness.writeFile("config", "old")
            try scene.begin(
                "twice", "--reload-command", "sh -c 'cat \(config) >> \(file); sleep 0.3'", "--", "sleep", "1000")
            unlink(file)
            let first = try scene.start("reload", "twice")
            try eventually("the first") { (try? readTextFile(file)) == "old" }
            _ = try scene.harness.writeFile("config", "new")
            #expect(try scene.run("reload", "twice").exitCode == 0)
            #expect(try first.end().exitCode == 0 && readTextFile(file) == "oldnew")
            try scene.run("stop")
            // One that goes on ends with the service.
            try scene.begin("slow", "--reload-command", "sh -c 'setsid sleep 2000'", "--", "sleep", "1000")
            let reload = try scene.start("reload", "slow")
            try eventually("the command") { scene.harness.marker.survivors.count { $0.command == "sleep" } == 2 }
            // The next keeper ends what the last has left of it.
            let before = try scene.waitFor("slow") { $0.guard != nil }
            kill(before.keeper!, SIGKILL)
            try scene.waitFor("slow") { $0.keeper == before.guard }
            try eventually("the end of the command") {
                scene.harness.marker.survivors.count { $0.command == "sleep" } == 1
            }
            #expect(try reload.end().exitCode == 1)
            let next = try scene.start("reload", "slow")
            try eventually("the next") { scene.harness.marker.survivors.count { $0.command == "sleep" } == 2 }
            try scene.run("stop", "slow")
            #expect(try next.end().exitCode == 1)
            try scene.run("stop")
            try scene.expectNothingLeft()
        }

        @Test func thePidFile() throws {
            let file = scene.harness.path("web.pid")
            try scene.begin("web", "--pid-file", file, "--", "sleep", "1000")
            let status = try scene.status("web")
            #expect(try readTextFile(file) == "\(status.pid!)\n")
            #expect(try scene.run("restart", "web").exitCode == 0)
            #expect(try readTextFile(file) == "\(scene.status("web").pid!)\n")
            // Nobody reads it: what others write there does no harm.
            _ = try scene.harness.writeFile("web.pid", "1\n")
            kill(try #require(scene.status("web").keeper), SIGKILL)
            try scene.waitFor("web") { $0.keeper == status.guard || $0.keeper != nil && $0.state == .running }
            #expect(try scene.run("stop", "web").exitCode == 0)
            #expect(access(file, F_OK) != 0)
            for place in ["/no/such/directory/pid", "/dev/null", "/dev/stdout", "/tmp"] {
                let refused = try scene.run("start", "bad", "--pid-file", place, "--", "true")
                #expect(
                    refused.exitCode == 125 && refused.errors.contains(text: "--pid-file \(place): cannot be written"),
                    "\(refused)")
            }
            #expect(access("/dev/null", F_OK) == 0)
            // A directory that is gone is no reason to leave alone what runs, nor is a log that is.
            mkdir(scene.harness.path("run"), 0o700)
            try scene.begin(
                "late", "--pid-file", scene.harness.path("run/pid"), "--log", scene.harness.path("run/log"), "--",
                "sleep",
                "1000")
            let before = try scene.waitFor("late") { $0.guard != nil }
            for name in ["pid", "log"] { unlink(scene.harness.path("run/" + name)) }
            rmdir(scene.harness.path("run"))
            kill(before.keeper!, SIGKILL)
            let after = try scene.waitFor("late") { $0.keeper == before.guard }
            #expect(after.state == .running && after.pid == before.pid)
            #expect(try scene.run("stop", "late").exitCode == 0)
            try scene.expectNothingLeft()
        }
    }
}
