import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import Services
import TestSupport
import Testing

extension Behaviour {
    /// How a service tells that it is ready, and alive.
    @Suite(.onRealMachines, .whereServicesAre, .inFull) struct ServiceReadiness {
        let scene: ServiceScene

        init() throws { scene = try ServiceScene() }

        @Test func readyByPort() throws {
            let script = """
                import socket, time
                time.sleep(0.2)
                s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", 23771)); s.listen(); time.sleep(1000)
                """
            let started = BootTime.now
            try scene.begin("web", "--ready", "tcp=23771", "--", "python3", "-c", script)
            #expect(BootTime.now - started > .milliseconds(200))
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        @Test func readyByNotice() throws {
            let script = """
                import os, socket, time
                time.sleep(0.2)
                s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                s.sendto(b"STATUS=well\\nREADY=1", "\\0" + os.environ["NOTIFY_SOCKET"][1:]); time.sleep(1000)
                """
            let started = BootTime.now
            try scene.begin("web", "--ready", "notify", "--", "python3", "-c", script)
            #expect(BootTime.now - started > .milliseconds(200))
            // The next keeper hears of the next start.
            let status = try scene.status("web")
            kill(try #require(status.keeper), SIGKILL)
            try scene.waitFor("web") { $0.keeper != status.keeper && $0.state == .running }
            #expect(try scene.run("restart", "web").exitCode == 0)
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        /// A service that hangs says nothing any more.
        @Test func watchdog() throws {
            let hang = scene.harness.path("hang")
            let script = """
                import os, socket, time
                s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                def say():
                    # As sd_notify(3): nobody may listen for a moment.
                    try: s.sendto(b"WATCHDOG=1", "\\0" + os.environ["NOTIFY_SOCKET"][1:])
                    except OSError: pass
                print(os.environ["WATCHDOG_USEC"], flush=True)
                while not os.path.exists("\(hang)"): say(); time.sleep(0.02)
                time.sleep(1000)
                """
            try scene.begin(
                "web", "--watchdog", "1500ms", "--ready", "log=1500000", "--backoff", "100s", "--", "python3", "-c",
                script)
            // Longer than the time that it has, under the next keeper, and under one that has nothing of an earlier one.
            let before = try scene.status("web")
            kill(try #require(before.keeper), SIGKILL)
            try scene.waitFor("web") { $0.keeper == before.guard }
            Poller.pause(.milliseconds(1_800))
            #expect(try scene.status("web").state == .running)
            try scene.orphan("web")
            #expect(try scene.run("adopt", "web").exitCode == 0)
            Poller.pause(.milliseconds(1_800))
            #expect(try scene.status("web").pid == before.pid)
            _ = try scene.harness.writeFile("hang", "")
            let after = try scene.waitFor("web") { $0.state == .backoff }
            #expect(after.reason == "gave no sign of life within 1.5s (--watchdog)")
            #expect(try scene.lines("web") == ["1500000"])
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        @Test func notReadyInTime() throws {
            let outcome = try scene.run(
                "start", "web", "--restart", "no", "--ready", "notify", "--ready-timeout", "200ms", "--", "sleep",
                "1000")
            #expect(
                outcome.exitCode == 1 && outcome.errors.contains(text: "web: was not ready within 0.2s"), "\(outcome)")
            try scene.expectNothingLeft()
        }
    }
}
