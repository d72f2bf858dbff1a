import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import Services
import TestSupport
import Testing

/// How often to try the same at other moments.
private let rounds = max(
    2, min(5, (ThisProcess.environmentVariable("CGRUN_TEST_ROUNDS").flatMap { Int($0) } ?? 50) / 10))

extension Behaviour {
    /// What happens to several services, and to those who start and stop them, at bad moments.
    @Suite(.onRealMachines, .whereServicesAre, .inFull) struct ServiceGroupLosses {
        let scene: ServiceScene

        init() throws { scene = try ServiceScene() }

        @Test func whoeverHasSeenEnoughEndsThem() throws {
            let file = try scene.writeServices(
                "[service.a]\ncommand = [\"sh\", \"-c\", \"while echo x; do sleep 0.01; done\"]\n")
            let pipe = try Pipe()
            let up = try scene.start(cgrun: ["up", "-f", file], standardOutput: pipe.writing.descriptor.rawValue)
            try eventually("output") {
                var poller = Poller()
                poller.add(pipe.reading.descriptor.rawValue)
                return poller.wait(.milliseconds(10))[0]
            }
            let null = try Descriptor(opening: "/dev/null", O_RDWR)
            // The last reader goes.
            _ = dup2(null.rawValue, pipe.reading.descriptor.rawValue)
            _ = dup2(null.rawValue, pipe.writing.descriptor.rawValue)
            #expect(try up.end().exitCode == 141)
            try scene.expectNothingLeft()
        }

        /// What starts services may die: they go on, and another takes them over.
        @Test func theLossOfUpIsNoEvent() throws {
            let file = try scene.writeServices("[service.a]\ncommand = [\"sleep\", \"1000\"]\nready.delay = \"0\"\n")
            let up = try scene.start(cgrun: ["up", "-f", file])
            let status = try scene.waitFor("a") { $0.state == .running }
            up.send(.kill)
            _ = try up.end()
            let next = try scene.start(cgrun: ["up", "-f", file])
            try eventually("a") { next.errors.contains(text: "a is already running: pid \(status.pid!)") }
            next.send(.interrupt)
            #expect(try next.end().exitCode == 0)
            #expect(try scene.status("a").state == .stopped)
            try scene.expectNothingLeft()
        }

        /// From the start to the end, keepers are lost at random moments, and one service loses keeper and guard.
        @Test func lossesOnTheWay() throws {
            var text = "[defaults]\nready.delay = \"20ms\"\n"
            for number in 0..<8 {
                text += "[service.s\(number)]\ncommand = [\"sh\", \"-c\", \"echo up \(number); exec sleep 1000\"]\n"
                if number >= 2 { text += "requires.s\(number - 2) = \"ready\"\n" }
            }
            let file = try scene.writeServices(text)
            for round in 0..<rounds {
                let up = try scene.start(cgrun: ["up", "-f", file])
                let deadline = BootTime.now + .seconds(60 * patience)
                var killed = 0
                while !up.errors.contains(text: "s7 is ready") || !up.errors.contains(text: "s6 is ready") {
                    guard BootTime.now < deadline else { throw TestFailure("round \(round): \(up.errors)") }
                    if killed < 6,
                        let keeper = scene.harness.marker.survivors.filter({ $0.command == "cgrun-keeper" })
                            .randomElement()
                    {
                        kill(keeper.pid, SIGKILL)
                        killed += 1
                    }
                    pause(.milliseconds(Int.random(in: 1...20)))
                }
                for number in 0..<8 {
                    let status = try scene.waitFor("s\(number)") {
                        $0.state == .running && $0.keeper != nil && $0.guard != nil
                    }
                    #expect(status.pids.count == 1, "round \(round): \(status)")
                }
                try scene.orphan("s\(Int.random(in: 0..<8))")
                up.send(.terminate)
                let outcome = try up.end(within: .seconds(60))
                #expect(outcome.exitCode == 0, "round \(round): \(outcome)")
                #expect(scene.harness.marker.survivors.isEmpty, "round \(round): \(scene.harness.marker.survivors)")
            }
            try scene.expectNothingLeft()
        }

        /// Ctrl-C while services are being started: what was begun is stopped, at whatever moment.
        @Test func interruptedAtAnyMoment() throws {
            var text = "[defaults]\nready.delay = \"5ms\"\n"
            for number in 0..<4 {
                text += "[service.s\(number)]\ncommand = [\"sleep\", \"1000\"]\n"
                if number >= 2 { text += "requires.s\(number - 2) = \"ready\"\n" }
            }
            let file = try scene.writeServices(text)
            for round in 0..<rounds * 5 {
                let up = try scene.start(cgrun: ["up", "-f", file])
                pause(.milliseconds(Int.random(in: 0...80) * patience))
                up.send(.interrupt)
                let outcome = try up.end(within: .seconds(30))
                #expect([0, 130].contains(outcome.shellStatus), "round \(round): \(outcome)")
                // Before `up` has read its file, the signal ends it, and who reads the file for it ends a moment later.
                try eventually("round \(round): the ends of \(scene.harness.marker.survivors), \(outcome)") {
                    scene.harness.marker.survivors.allSatisfy { $0.command != "cgrun-toml" }
                }
                #expect(scene.harness.marker.survivors.isEmpty, "round \(round): \(outcome)")
            }
            try scene.expectNothingLeft()
        }

        @Test func manyUpsMakeOneOfEach() throws {
            let file = try scene.writeServices(
                "[defaults]\nready.delay = \"50ms\"\n[service.a]\ncommand = [\"sleep\", \"1000\"]\n[service.b]\ncommand = [\"sleep\", \"1000\"]\nrequires.a = \"ready\"\n"
            )
            let ups = try (0..<8).map { _ in try scene.start(cgrun: ["up", "-d", "-f", file]) }
            for up in ups { #expect(try up.end().exitCode == 0) }
            #expect(scene.harness.marker.survivors.count { $0.command == "sleep" } == 2)
            #expect(try scene.status("a").starts == 1 && scene.status("b").starts == 1)
            let downs = try (0..<4).map { _ in try scene.start(cgrun: ["down"]) }
            for down in downs {
                let outcome = try down.end()
                #expect(outcome.exitCode == 0, "\(outcome)")
            }
            try scene.expectNothingLeft()
        }

        /// What is being started again while others are stopped is stopped in its turn.
        @Test func downDuringARestart() throws {
            let file = try scene.writeServices(
                """
                [service.web]
                command = ["sh", "-c", "trap 'sleep 0.6; exit 0' TERM; echo up; while :; do sleep 0.02; done"]
                stop.mode = "mixed"
                ready.log = "up"
                requires.db = "started"
                [service.db]
                command = ["sleep", "1000"]
                ready.log = "never"
                ready-timeout = "100ms"
                backoff = "10ms"
                give-up = "never"
                """)
            let up = try scene.start(cgrun: ["up", "-f", file])
            try eventually("web") { up.errors.contains(text: "web is ready") }
            let down = try scene.cgrun("down")
            #expect(down.exitCode == 0 && down.lines == ["web is stopped", "db is stopped"], "\(down)")
            #expect(try scene.status("db").state == .stopped)
            _ = try up.end()
            try scene.expectNothingLeft()
        }

        /// Whoever does not read what is shown holds up neither the services nor their end.
        @Test func aReaderThatStalls() throws {
            let file = try scene.writeServices(
                "[service.a]\ncommand = [\"sh\", \"-c\", \"yes | head -c 1000000; exec sleep 1000\"]\n")
            let pipe = try Pipe()
            let up = try scene.start(cgrun: ["up", "-f", file], standardOutput: pipe.writing.descriptor.rawValue)
            try eventually("a") { up.errors.contains(text: "a is ready") }
            up.send(.terminate)
            #expect(try up.end().exitCode == 0)
            #expect(try scene.status("a").state == .stopped)
            try scene.expectNothingLeft()
        }

        @Test func whatCannotBeShown() throws {
            let file = try scene.writeServices("[service.a]\ncommand = [\"sh\", \"-c\", \"echo x; exec sleep 1000\"]\n")
            let full = try Descriptor(opening: "/dev/full", O_WRONLY)
            let up = try scene.start(cgrun: ["up", "-f", file], standardOutput: full.rawValue).end()
            #expect(up.exitCode == 125 && up.errors.contains(text: "the logs cannot be shown any more: "), "\(up)")
            try scene.expectNothingLeft()
        }

        /// As the first process of a container: what nobody else reaps is reaped, and SIGTERM ends all.
        @Test(.enabled(if: Capability.isRoot, "needs a pid namespace")) func asTheFirstProcess() throws {
            let file = try scene.writeServices(
                """
                [service.a]
                command = ["sh", "-c", "echo here; exec sleep 1000"]
                ready.log = "here"
                """)
            let inside = try scene.harness.start(
                ["unshare", "-pf", "--kill-child", "--mount-proc", Programs.cgrun, "up", "-f", file],
                environment: scene.environment)
            try inside.waitForOutput("a | here")
            let first = try #require(scene.harness.marker.survivors.first { $0.command == "cgrun" })
            let keeper = try #require(scene.harness.marker.survivors.first { $0.command == "cgrun-keeper" })
            kill(keeper.pid, SIGKILL)
            try eventually("its zombie to go") { ProcessTable.state(keeper.pid) == nil }
            try eventually("the next keeper") {
                scene.harness.marker.survivors.contains { $0.command == "cgrun-keeper" }
            }
            kill(first.pid, SIGTERM)
            #expect(try inside.end().exitCode == 0, "\(inside.errors)")
            try scene.expectNothingLeft()
        }
    }
}
