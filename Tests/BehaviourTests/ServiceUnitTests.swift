import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import Services
import TestSupport
import Testing

extension Behaviour {
    /// Services whose keepers systemd starts, in units of their own.
    @Suite(.onRealMachines, .enabled(if: Capability.usesSystemd, "no systemd")) struct ServiceUnits {
        let scene: ServiceScene
        private let unit = "cgrun-svc-web.service"

        init() throws { scene = try ServiceScene() }

        private func property(_ name: String) throws -> String {
            try scene.harness.systemctl("show", "--value", "-p", name, unit).lines.first ?? ""
        }

        @Test func theUnitIsAsAskedFor() throws {
            try scene.begin(
                "web", "--slice", "tests.slice", "--description", "a test", "-p", "Documentation=man:cgrun(1)", "--",
                "sleep", "1000")
            #expect(try property("Slice") == "tests.slice" && property("Description") == "a test")
            #expect(try property("Documentation").contains(text: "man:cgrun(1)"))
            #expect(try property("ActiveState") == "active")
            let status = try scene.status("web")
            #expect(status.cgroup?.hasSuffix("/tests.slice/\(unit)/cgrun-svc-web") == true, "\(status)")
            #expect(try property("MainPID") == "\(status.keeper ?? 0)")
            try scene.run("stop", "web")
            try scene.harness.expectNoUnit()
            try scene.expectNothingLeft()
        }

        /// systemd asks the keeper, which stops its service as it would for anybody; also the keeper that came second.
        @Test func stoppedBySystemd() throws {
            for isReplaced in [false, true] {
                try scene.begin(
                    "web", "--stop-signal", "INT", "--ready", "log=trapped", "--", "bash", "-c",
                    "trap 'echo asked; exit 3' INT; echo trapped; while :; do sleep 0.01; done")
                if isReplaced {
                    let before = try scene.status("web")
                    kill(try #require(before.keeper), SIGKILL)
                    try scene.waitFor("web") { $0.keeper == before.guard }
                }
                #expect(try scene.harness.systemctl("stop", unit).exitCode == 0)
                let status = try scene.status("web")
                // Who has adopted a command may not learn how it ended.
                let code = status.lastDeath?.exitCode
                #expect(status.state == .stopped && (code == 3 || isReplaced && code == nil), "\(status)")
                #expect(try scene.lines("web").last == "asked")
            }
            try scene.harness.expectNoUnit()
            try scene.expectNothingLeft()
        }

        @Test func anOrphanIsStoppedBySystemd() throws {
            try scene.begin("web", "--", "sleep", "1000")
            try scene.orphan("web")
            #expect(try scene.harness.systemctl("stop", unit).exitCode == 0)
            #expect(try scene.status("web").state == .stopped && scene.harness.marker.survivors.isEmpty)
            try scene.harness.expectNoUnit()
            try scene.expectNothingLeft()
        }

        /// Where nobody is left who could start the service again, systemd starts a keeper that does.
        @Test func allIsLostAtOnce() throws {
            for round in 1...5 {
                try scene.begin("web", "--backoff", "1ms", "--", "sleep", "1000")
                if round == 1 {
                    try scene.harness.systemctl("kill", "-s", "KILL", unit)
                } else {
                    let before = try scene.waitFor("web") { $0.guard != nil }
                    for pid in [before.keeper, before.guard, before.pid].shuffled() { kill(try #require(pid), SIGKILL) }
                }
                let after = try scene.waitFor("web") { $0.state == .running && $0.starts >= 2 }
                #expect(after.lastDeath != nil)
                #expect(try scene.run("stop", "web").output == "web is stopped\n")
            }
            try scene.harness.expectNoUnit()
            try scene.expectNothingLeft()
        }

        /// A stop that comes while systemd is about to start the next keeper holds.
        @Test func aStopAfterAllWasLost() throws {
            for _ in 0..<3 {
                try scene.begin("web", "--backoff", "1ms", "--", "sleep", "1000")
                let before = try scene.waitFor("web") { $0.guard != nil }
                for pid in [before.keeper, before.guard, before.pid] { kill(try #require(pid), SIGKILL) }
                let stop = try scene.run("stop", "web")
                #expect(stop.exitCode == 0)
                try scene.harness.expectNoUnit()
                #expect(scene.harness.marker.survivors.isEmpty)
                #expect(try scene.run("status", "web").exitCode == 3)
            }
            try scene.expectNothingLeft()
        }

        /// The journal has the lines of the command itself, of those who run beside it, and of the keeper.
        @Test(.enabled(if: access(JournalStream.socket, W_OK) == 0, "no journal")) func theJournal() throws {
            // Only a user who may read the whole journal, or has one, sees what is in it.
            let id = "t\(ThisProcess.id)"
            try scene.begin(
                id, "--log", "journal", "--reload-command", "sh -c 'echo reloaded'", "--backoff", "100s", "--", "sh",
                "-c",
                "echo $JOURNAL_STREAM; python3 -c 'import os; print(os.get_blocking(1))'; echo one; echo two >&2; trap 'exit 3' USR1; while :; do sleep 0.01; done"
            )
            func lines(_ arguments: String...) throws -> [String] {
                try scene.harness.startCgrun(["service", "logs"] + arguments, environment: scene.environment).end()
                    .lines
            }
            try eventually("two lines") { try lines(id).last == "two" }
            Poller.pause(.milliseconds(5))
            let moment = Timestamp.now.text
            #expect(try scene.run("reload", id).exitCode == 0)
            kill(try #require(try scene.status(id).pid), SIGUSR1)
            try scene.waitFor(id) { $0.state == .backoff }
            try eventually("the lines") {
                try lines(id).dropFirst() == ["True", "one", "two", "reloaded", "cgrun: sh exited with 3"]
            }
            #expect(try lines("-n", "1", id) == ["cgrun: sh exited with 3"])
            #expect(try lines("--since", moment, id) == ["reloaded", "cgrun: sh exited with 3"])
            #expect(
                try scene.status(id).log == "journal"
                    && access(scene.harness.path("state/services/\(id)/log"), F_OK) != 0)
            let stream = try lines(id)[0].split(separator: ":")
            #expect(stream.count == 2 && stream.allSatisfy { UInt64($0) != nil }, "\(stream)")
            // A start that fails shows the end of it, and up shows what is added.
            try scene.run("stop", id)
            let failed = try scene.run("start", id, "--log", "journal", "--", "sh", "-c", "echo oh no; exit 4")
            #expect(failed.exitCode == 1, "\(failed)")
            try scene.run("stop", id)
            let file = try scene.writeServices(
                "[service.\(id)]\nlog = \"journal\"\ncommand = [\"sh\", \"-c\", \"echo by up; exec sleep 1000\"]\n")
            let up = try scene.start(cgrun: ["up", "-f", file])
            try eventually("the line of up") { up.output.contains(text: "\(id) | by up") }
            up.send(.interrupt)
            #expect(try up.end().exitCode == 0)
            try scene.expectNothingLeft()
        }

        @Test func theManagerReadsItsUnitsAnew() throws {
            try scene.begin("web", "-E", "TEXT=a $b %c \"d\"", "--", "sh", "-c", "echo \"$TEXT\"; exec sleep 1000")
            let before = try scene.status("web")
            for verb in ["daemon-reload", "daemon-reexec"] { try scene.harness.systemctl(verb) }
            try eventually("the manager to be back") { try property("ActiveState") == "active" }
            let after = try scene.status("web")
            #expect(after.pid == before.pid && after.keeper == before.keeper)
            #expect(try scene.harness.systemctl("stop", unit).exitCode == 0)
            #expect(try scene.status("web").state == .stopped)
            #expect(try scene.lines("web") == ["a $b %c \"d\""])
            try scene.harness.expectNoUnit()
            try scene.expectNothingLeft()
        }

        /// A keeper that was lost makes systemd start another once the service has ended. That one must not begin what
        /// somebody has asked for since, in the unit of before.
        @Test func startedOtherwiseAfterALoss() throws {
            for _ in 0..<5 {
                try scene.begin("web", "--", "sleep", "1000")
                let before = try scene.status("web")
                kill(try #require(before.keeper), SIGKILL)
                try scene.waitFor("web") { $0.keeper == before.guard }
                try scene.run("stop", "web")
                try scene.begin("web", "--slice", "tests.slice", "--", "sleep", "1000")
                #expect(try scene.status("web").cgroup?.contains(text: "/tests.slice/") == true)
                try scene.run("stop", "web")
            }
            try scene.harness.expectNoUnit()
            try scene.expectNothingLeft()
        }

        /// systemd puts variables and specifiers in place of some signs, and reads its units anew.
        @Test func aStateDirectoryOfAnyName() throws {
            let state = scene.harness.path("a $HOME %h \\x \"q\" 'r'")
            func run(_ arguments: String...) throws -> Outcome {
                try scene.harness.startCgrun(
                    ["service"] + arguments, environment: ["CGRUN_STATE_DIRECTORY": state]
                ).end()
            }
            let start = try run("start", "web", "--ready", "delay=0", "--", "sleep", "1000")
            #expect(start.exitCode == 0, "\(start)")
            try scene.harness.systemctl("daemon-reload")
            #expect(try scene.harness.systemctl("stop", unit).exitCode == 0)
            #expect(try run("status", "web").output.contains(text: "sleep was ended by SIGTERM at a stop"))
            try scene.harness.expectNoUnit()
            try scene.expectNothingLeft()
        }

        /// A unit of the name that is not this service's is left alone, and named.
        @Test func aUnitOfTheNameIsThere() throws {
            let run = ["systemd-run"] + (Capability.isRoot ? [] : ["--user"]) + ["--unit", unit, "sleep", "1000"]
            #expect(try scene.harness.start(run).end().exitCode == 0)
            let start = try scene.run("start", "web", "--", "sleep", "1000")
            #expect(start.exitCode == 125)
            #expect(start.errors.contains(text: "web: there is a unit \(unit) already"), "\(start)")
            #expect(try property("ActiveState") == "active")
            try scene.harness.systemctl("stop", unit)
            try scene.expectNothingLeft()
        }
    }
}
