import CLinux
import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import Services
import TestSupport
import Testing

private let rounds = ThisProcess.environmentVariable("CGRUN_TEST_ROUNDS").flatMap { Int($0) } ?? 300

extension Behaviour {
    /// A service outlives its keeper and its guard, and somebody takes it over.
    @Suite(.onRealMachines, .whereServicesAre, .inFull) struct OrphanedServices {
        let scene: ServiceScene

        init() throws { scene = try ServiceScene() }

        @Test func orphansAreAdopted() throws {
            try scene.begin("web", "--", "bash", "-c", ServiceScene.counter)
            let before = try scene.status("web")
            try scene.orphan("web")
            let orphaned = try scene.status("web")
            #expect(orphaned.state == .orphaned && orphaned.pid == before.pid && orphaned.keeper == nil)
            #expect(try scene.run("status", "web").exitCode == 3)
            // A sweep kills no service.
            let sweep = try scene.harness.cgrun("sweep")
            #expect(sweep.exitCode == 0 && !sweep.output.contains(text: "svc"), "\(sweep)")
            #expect(try scene.run("adopt").output == "web is kept again: pid \(before.pid ?? 0)\n")
            let after = try scene.status("web")
            #expect(after.state == .running && after.pid == before.pid && after.starts == 1)
            try scene.run("stop", "web")
            try scene.expectNoGap("web")
            try scene.expectNothingLeft()
        }

        /// A keeper that is lost as soon as the command runs has not written that down. What runs is found all the same.
        @Test func whatNobodyWroteDownIsFound() throws {
            try scene.begin("web", "--", "sleep", "1000")
            let before = try scene.status("web")
            try scene.orphan("web")
            let record = scene.harness.path("state/services/web/record.json")
            for key in ["cgroup", "pid"] {
                let edit = "s#\"\(key)\" : [^,]*,#\"\(key)\" : null,#"
                #expect(try scene.harness.start(["sed", "-i", edit, record]).end().exitCode == 0)
            }
            let found = try scene.status("web")
            #expect(found.state == .orphaned && found.pids == before.pids && found.cgroup == before.cgroup, "\(found)")
            #expect(try scene.run("start", "web").output == "web is already running: pid \(before.pid!)\n")
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        /// Keepers that are killed again and again before they have done anything hold up no start. One that is killed
        /// while it launches the command leaves an end that nobody has seen, which counts as a failure.
        @Test func startsSurviveLosses() throws {
            for round in 0..<max(3, rounds / 30) {
                let start = try scene.start(
                    "start", "web", "--backoff", "1ms", "--ready", "delay=0", "--", "sleep", "1000")
                var killed = 0
                while !start.hasEnded {
                    let keepers = scene.harness.marker.survivors.filter { $0.command == "cgrun-keeper" }
                    if killed < 5, let keeper = keepers.randomElement() {
                        kill(keeper.pid, SIGKILL)
                        killed += 1
                    }
                    pause(.microseconds(Int.random(in: 0...3000)))
                }
                let outcome = try start.end()
                #expect(
                    outcome.exitCode == 0 || outcome.errors.contains(text: "; it is started again by itself"),
                    "round \(round): \(outcome)")
                // The last kills may have come after the start, and have taken keeper and guard.
                #expect(try scene.run("adopt", "web").exitCode == 0)
                try scene.waitFor("web") { $0.state == .running && $0.pids.count == 1 }
                #expect(try scene.run("stop", "web").exitCode == 0)
                #expect(scene.harness.marker.survivors.isEmpty, "\(scene.harness.marker.survivors)")
            }
            try scene.expectNothingLeft()
        }

        @Test func orphansAreStoppedAndStarted() throws {
            try scene.begin("web", "--", "sleep", "1000")
            let pid = try scene.status("web").pid
            try scene.orphan("web")
            #expect(try scene.run("start", "web").output == "web is already running: pid \(pid ?? 0)\n")
            try scene.orphan("web")
            #expect(try scene.run("stop", "web").output == "web is stopped\n")
            try scene.expectNothingLeft()
        }

        /// The directory stays, and the processes are gone.
        @Test func afterTheMachineWasStartedAnew() throws {
            try scene.begin("web", "--", "sleep", "1000")
            let record = scene.harness.path("state/services/web/record.json")
            let text = try readTextFile(record).replacing(Machine.bootID ?? "", with: "another-boot")
            try scene.run("stop", "web")
            _ = try scene.harness.writeFile("state/services/web/record.json", text)
            let status = try scene.status("web")
            #expect(status.state == .stopped && status.reason == "the machine was started anew since")
            #expect(try scene.run("start", "web").exitCode == 0)
            #expect(try scene.status("web").starts == 1)
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        /// Orphans are waited for together, and not one after the other.
        @Test func manyOrphans() throws {
            for number in 0..<6 { try scene.begin("s\(number)", "--", "sleep", "1000") }
            for number in 0..<6 { try scene.orphan("s\(number)") }
            let begun = BootTime.now
            #expect(try scene.run("status").output.contains(text: "s5: orphaned"))
            let first = BootTime.now - begun
            #expect(first < .milliseconds(500 * 3) * patience, "\(first)")
            #expect(try scene.run("adopt").lines.count == 6)
            try scene.run("stop")
            try scene.expectNothingLeft()
        }

        /// All that is left of a service whose keepers and processes were killed at once are its cgroups.
        @Test(.enabled(if: !Capability.usesSystemd, "systemd would start it again")) func cgroupsOfALostService() throws
        {
            for action in ["stop", "remove"] {
                try scene.begin("web", "--", "sleep", "1000")
                try scene.orphan("web")
                for survivor in scene.harness.marker.survivors { kill(survivor.pid, SIGKILL) }
                try scene.waitFor("web") { $0.state == .failed }
                #expect(try scene.run(action, "web").exitCode == 0)
                try scene.harness.expectNothingLeft(within: .milliseconds(100))
            }
        }

        /// The pid of a dead main process may mean another by now: a note that does not fit adopts nobody.
        @Test func aPidIsNotTrusted() throws {
            try scene.begin("web", "--", "sleep", "1000")
            let before = try scene.status("web")
            try scene.orphan("web")
            // The same pid, with another start.
            let cgroup = try #require(before.cgroup)
            let note = "0123456789abcdef \(before.pid ?? 0) 1 1"
            #expect(setxattr(cgroup, "user.cgrun.note", note, note.utf8.count, 0) == 0)
            try scene.run("adopt")
            let after = try scene.waitFor("web") { $0.state == .running && $0.starts == 2 }
            #expect(after.pid != before.pid)
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }

        /// Another directory of services cannot take over a cgroup that is kept.
        @Test(.once) func aKeptCgroupIsNobodyElses() throws {
            try scene.begin("web", "--", "sleep", "1000")
            let before = try scene.status("web")
            let other = try scene.harness.cgrun(
                "service", "start", "web", "--", "sleep", "1000",
                environment: ["CGRUN_STATE_DIRECTORY": scene.harness.path("other")])
            #expect(other.exitCode == 125 && other.errors.contains(text: "cgrun-svc-web"), "\(other)")
            #expect(try scene.status("web").pid == before.pid)
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }
    }
}
