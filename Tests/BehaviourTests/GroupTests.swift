import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import Services
import TestSupport
import Testing

extension Behaviour {
    /// Several services by a `cgrun.toml`: `up`, `down`, `ps`.
    @Suite(.onRealMachines, .whereServicesAre, .inFull) struct ServiceGroups {
        let scene: ServiceScene

        init() throws { scene = try ServiceScene() }

        /// Three services and a job, each of which writes to `order` when it starts and when it is stopped.
        private func writeChain() throws -> (file: String, order: String) {
            let order = scene.harness.path("order")
            func script(_ name: String) -> String {
                "trap 'echo -\(name) >> \(order); exit 0' TERM; echo +\(name) >> \(order); echo \(name) is up; while :; do sleep 0.02; done"
            }
            let file = try scene.writeServices(
                """
                [defaults]
                stop.mode = "mixed"
                ready.log = "is up"
                [service.web]
                command = ["bash", "-c", "\(script("web"))"]
                requires = { api = "started", migrate = "completed" }
                [service.api]
                command = ["bash", "-c", "sleep 0.2; \(script("api"))"]
                requires = { db = "ready" }
                [service.migrate]
                command = ["bash", "-c", "sleep 0.1; echo +migrate >> \(order)"]
                restart = "no"
                ready.delay = "10s"
                requires = { db = "ready" }
                [service.db]
                command = ["bash", "-c", "sleep 0.2; \(script("db"))"]
                """)
            return (file, order)
        }

        private func lines(_ file: String) throws -> [String] {
            try readTextFile(file).split(separator: "\n").map(String.init)
        }

        @Test func upAndDownInOrder() throws {
            let (file, order) = try writeChain()
            let up = try scene.cgrun("up", "-d", "-f", file)
            #expect(up.exitCode == 0, "\(up)")
            // They are told of in the order in which they are ready, and web needs api only started.
            #expect(up.lines[0].hasPrefix("db is ready: pid "))
            #expect(up.lines.contains("migrate has ended: bash exited with 0"))
            #expect(up.lines.count == 4)
            let began = try lines(order)
            #expect(began.first == "+db" && Set(began) == ["+db", "+migrate", "+web", "+api"])
            #expect(try #require(began.firstIndex(of: "+migrate")) < #require(began.firstIndex(of: "+web")))
            let again = try scene.cgrun("up", "-d", "-f", file)
            #expect(again.exitCode == 0 && again.output.contains(text: "web is already running"), "\(again)")
            #expect(try lines(order).count { $0 == "+migrate" } == 2, "what has done its work does it again")
            let down = try scene.cgrun("down")
            #expect(
                down.exitCode == 0 && down.lines == ["web is stopped", "api is stopped", "db is stopped"], "\(down)")
            #expect(try lines(order).suffix(3) == ["-web", "-api", "-db"])
            try scene.expectNothingLeft()
        }

        @Test func downTakesWhatRequiresIt() throws {
            let (file, _) = try writeChain()
            #expect(try scene.cgrun("up", "-d", "-f", file).exitCode == 0)
            #expect(try scene.cgrun("down", "api").lines == ["web is stopped", "api is stopped"])
            #expect(try scene.status("db").state == .running)
            #expect(try scene.cgrun("down", "api").output == "api does not run\n")
            #expect(try scene.cgrun("down", "nobody").exitCode == 4)
            // With names, these and what they require.
            #expect(try scene.cgrun("up", "-d", "-f", file, "migrate").lines.count == 2)
            #expect(try scene.status("api").state == .stopped)
            #expect(try scene.cgrun("down").output == "db is stopped\n")
            #expect(try scene.cgrun("down").output == "", "nothing to do is no error")
            try scene.expectNothingLeft()
        }

        @Test(arguments: [Signal.interrupt, .terminate, .hangUp]) func inTheForeground(_ signal: Signal) throws {
            let (file, order) = try writeChain()
            let up = try scene.start(cgrun: ["up", "-f", file])
            for text in ["db      | db is up\n", "web     | web is up\n", "api     | api is up\n"] {
                try up.waitForOutput(text)
            }
            try eventually("web to be ready: \(up.errors)") {
                up.errors.contains(text: "cgrun: web is ready: pid")
                    && up.errors.contains(text: "cgrun: api is ready: pid")
            }
            #expect(up.errors.contains(text: "cgrun: migrate has ended: bash exited with 0\n"))
            up.send(signal)
            let outcome = try up.end()
            #expect(outcome.exitCode == 0, "\(outcome)")
            #expect(try lines(order).suffix(3) == ["-web", "-api", "-db"])
            #expect(outcome.output.contains(text: "db      | cgrun: bash exited with 0 at a stop\n"), "\(outcome)")
            #expect(outcome.errors.contains(text: "cgrun: stopping; once more, and all is killed\n"))
            #expect(outcome.errors.hasSuffix("cgrun: db is stopped\n"))
            try scene.expectNothingLeft()
        }

        @Test func theSecondSignalKills() throws {
            let file = try scene.writeServices(
                """
                [service.deaf]
                command = ["sh", "-c", "trap '' TERM; sleep 1000 & echo deaf; wait"]
                stop.after = "100s"
                ready.log = "deaf"
                """)
            let up = try scene.start(cgrun: ["up", "-f", file])
            try eventually("deaf") { up.errors.contains(text: "deaf is ready") }
            up.send(.interrupt)
            try scene.waitFor("deaf") { $0.state == .stopping }
            pause(.milliseconds(50))
            #expect(!up.hasEnded)
            up.send(.interrupt)
            #expect(try up.end().exitCode == 0)
            try scene.expectNothingLeft()
        }

        @Test func aFailureIsTold() throws {
            let file = try scene.writeServices(
                """
                [defaults]
                ready.delay = "100ms"
                [service.web]
                command = ["sleep", "1000"]
                requires.api = "ready"
                [service.api]
                command = ["sleep", "1000"]
                requires.db = "ready"
                [service.db]
                command = ["sh", "-c", "echo no disk; exit 3"]
                restart = "no"
                [service.other]
                command = ["sleep", "1000"]
                """)
            let up = try scene.cgrun("up", "-d", "-f", file)
            #expect(up.exitCode == 1 && up.lines.count == 1 && up.output.hasPrefix("other is ready"), "\(up)")
            #expect(
                up.errors.contains(text: "cgrun: db: sh exited with 3\n") && up.errors.contains(text: "  no disk\n"))
            #expect(
                up.errors.contains(text: "cgrun: api: was not started, since db failed: sh exited with 3\n"), "\(up)")
            #expect(up.errors.contains(text: "cgrun: web: was not started, since api does not run\n"))
            #expect(try scene.cgrun("down").output == "other is stopped\n")
            // In the foreground the others go on.
            let attached = try scene.start(cgrun: ["up", "-f", file])
            try eventually("the failures") { attached.errors.contains(text: "web: was not started") }
            #expect(!attached.hasEnded)
            attached.send(.interrupt)
            #expect(try attached.end().exitCode == 1)
            try scene.expectNothingLeft()
        }

        /// In the foreground, `up` is over when all services are.
        @Test func endsWithItsServices() throws {
            let good = try scene.writeServices(
                "[service.a]\ncommand = [\"sh\", \"-c\", \"printf 'no end'\"]\nrestart = \"no\"\n[service.b]\ncommand = [\"true\"]\n"
            )
            let outcome = try scene.cgrun("up", "-f", good)
            #expect(outcome.exitCode == 0 && outcome.lines.contains("a | no end"), "\(outcome)")
            let bad = try scene.writeServices(
                "[service.a]\ncommand = [\"true\"]\n[service.b]\ncommand = [\"false\"]\nrestart = \"no\"\n")
            let failed = try scene.cgrun("up", "-f", bad)
            #expect(
                failed.exitCode == 1 && failed.errors.contains(text: "cgrun: b: false exited with 1\n"), "\(failed)")
            try scene.expectNothingLeft()
        }

        /// A service that fails and is started again comes late, and is waited for in the foreground.
        @Test func whatComesLateIsWaitedFor() throws {
            let flag = scene.harness.path("flag")
            let file = try scene.writeServices(
                """
                [service.db]
                command = ["sh", "-c", "test -e \(flag) && exec sleep 1000"]
                backoff = "20ms"
                give-up = "never"
                ready.delay = "200ms"
                [service.web]
                command = ["sh", "-c", "echo here; exec sleep 1000"]
                requires.db = "ready"
                """)
            let up = try scene.start(cgrun: ["up", "-f", file])
            try scene.waitFor("db") { $0.starts > 3 }
            #expect(!up.output.contains(text: "web"))
            _ = try scene.harness.writeFile("flag", "")
            try up.waitForOutput("web | here")
            up.send(.terminate)
            #expect(try up.end().exitCode == 0)
            try scene.expectNothingLeft()
        }

        @Test func instances() throws {
            let file = try scene.writeServices(
                """
                [service.web]
                command = ["sh", "-c", "echo number %i of $N; exec sleep 1000"]
                env.N = "%i"
                ready.log = "number"
                instances = 3
                """)
            #expect(try scene.cgrun("up", "-d", "-f", file).lines.count == 3)
            #expect(try scene.lines("web@2") == ["number 2 of 2"])
            #expect(try scene.cgrun("down", "web@2").output == "web@2 is stopped\n")
            let down = try scene.cgrun("down")
            #expect(Set(down.lines) == ["web@3 is stopped", "web@1 is stopped"], "\(down)")
            #expect(try scene.cgrun("up", "-d", "-f", file, "web@3").lines.count == 1)
            #expect(try scene.cgrun("down", "web").output == "web@3 is stopped\n")
            try scene.expectNothingLeft()
        }

        @Test func mistakesLeaveNothing() throws {
            let file = try scene.writeServices("[service.a]\ncommand = [\"true\"]\nmemm = \"1G\"\n")
            for (words, code) in [
                (["up", "-f", file], 125), (["up", "-f", "/no/such/file"], 125), (["up", "-f", "/"], 125),
                (["up", "--bogus"], 125), (["down", "a b"], 125), (["down", "a"], 4), (["ps", "a"], 125),
                (["service", "remove"], 125), (["service", "remove", "a"], 4),
            ] {
                let outcome = try scene.start(cgrun: words).end()
                #expect(outcome.exitCode == code && outcome.output == "", "\(words): \(outcome)")
                #expect(outcome.errors.split(separator: "\n").count == 1, "\(words): \(outcome)")
            }
            #expect(
                try scene.cgrun("up", "-f", file).errors == "cgrun: \(file):3: memm: unknown key; did you mean mem?\n")
            #expect(access(scene.harness.path("state"), F_OK) != 0, "something was made")
        }

        // MARK: ps

        @Test func psListsServicesAndJobs() throws {
            try scene.begin("web", "--", "sleep", "1001")
            try scene.begin("done", "--restart", "no", "--", "true")
            try scene.waitFor("done") { $0.state == .exited }
            let job = try scene.start(cgrun: ["--", "sleep", "1002"])
            try eventually("the job") {
                scene.harness.marker.survivors.contains { $0.command == "sleep" && $0.pid != job.pid }
            }
            try eventually("three lines that tell") {
                let lines = try scene.cgrun("ps").lines
                let fields = lines.map { $0.split(separator: " ").map(String.init) }
                guard lines[0].hasPrefix("NAME"), let web = fields.first(where: { $0[0] == "web" }),
                    let own = fields.first(where: { $0.suffix(2) == ["sleep", "1002"] })
                else { return false }
                return web[1] == "running" && web.suffix(2) == ["sleep", "1001"] && own[0].utf8.count == 16
                    && own[1] == "running" && fields.contains { $0.prefix(3) == ["done", "exited", "-"] }
            }
            let json = try scene.cgrun("ps", "--json")
            for text in ["\"kind\" : \"job\"", "\"kind\" : \"service\"", "\"name\" : \"web\"", "\"age_seconds\" : "] {
                #expect(json.exitCode == 0 && json.output.contains(text: text), "\(json)")
            }
            job.send(.terminate)
            _ = try job.end()
            try scene.run("stop")
            try scene.expectNothingLeft()
        }

        /// What is ready by default may yet end, for which another waits.
        @Test func completionComesAfterReadiness() throws {
            let file = try scene.writeServices(
                """
                [service.web]
                command = ["sleep", "1000"]
                ready.delay = "0"
                requires.job = "completed"
                [service.job]
                command = ["sh", "-c", "sleep 0.6"]
                ready.delay = "20ms"
                """)
            let up = try scene.cgrun("up", "-d", "-f", file)
            #expect(
                up.exitCode == 0 && up.lines.count == 3 && up.lines[1] == "job has ended: sh exited with 0", "\(up)")
            #expect(up.errors == "cgrun: web waits until job has ended\n")
            #expect(try scene.cgrun("down").output == "web is stopped\n")
            // One that fails after it was ready is told, too.
            let bad = try scene.writeServices(
                "[service.web]\ncommand = [\"sleep\", \"1000\"]\nrequires.job = \"completed\"\n[service.job]\ncommand = [\"sh\", \"-c\", \"sleep 0.2; exit 3\"]\nrestart = \"no\"\nready.delay = \"0\"\n"
            )
            let failed = try scene.cgrun("up", "-d", "-f", bad)
            #expect(failed.exitCode == 1, "\(failed)")
            #expect(failed.errors.contains(text: "web: was not started, since job failed: sh exited with 3"))
            try scene.expectNothingLeft()
        }

        /// The same words elsewhere are another service.
        @Test func anotherDirectory() throws {
            let first = try scene.writeServices("[service.a]\ncommand = [\"sleep\", \"1000\"]\nready.delay = \"0\"\n")
            mkdir(scene.harness.path("other"), 0o700)
            let second = try scene.harness.writeFile("other/cgrun.toml", readTextFile(first))
            #expect(try scene.cgrun("up", "-d", "-f", first).errors == "")
            #expect(try scene.cgrun("up", "-d", "-f", first).errors == "")
            #expect(try scene.cgrun("up", "-d", "-f", second).errors.contains(text: "a: runs as it was started before"))
            try scene.cgrun("down")
            try scene.expectNothingLeft()
        }

        @Test func whatIsForgotten() throws {
            try scene.begin("web", "--", "sleep", "1000")
            let refused = try scene.run("remove", "web")
            #expect(refused.exitCode == 1 && refused.errors == "cgrun: web: is running; stop it first\n")
            try scene.run("stop", "web")
            #expect(try scene.run("remove", "web").output == "web is forgotten\n")
            #expect(try scene.run("status", "web").exitCode == 4)
            #expect(access(scene.harness.path("state/services/web"), F_OK) != 0)
            try scene.begin("web", "--", "sleep", "1000")
            try scene.run("stop", "web")
            try scene.expectNothingLeft()
        }
    }
}
