import CgroupSandbox
import FoundationEssentials
import Glibc
import LinuxSystem
import SandboxValues
import Stress
import TestSupport
import Testing

extension Behaviour {
    /// `cgrun stress` with a server that does most things wrong.
    @Suite struct StressSuite {
        let harness: Harness

        init() throws { harness = try Harness() }

        /// A pool: the main process listens, and replaces a worker that is lost; the worker runs a tool, and nobody ends
        /// either of them. Under cgrun, the worker runs its tool by cgrun.
        private static let pool = """
            import os, signal, socket, subprocess, sys
            tool = ["sleep", "2718"]
            if os.environ["CGRUN_STRESS"] != "bare": tool = [sys.argv[1], "--quiet", "--"] + tool
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            ballast = bytearray(16 << 20)
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", 23790))
            server.listen()
            while subprocess.Popen(["sh", "-c", '"$@"; exit', "pool-worker", *tool]).wait() != 2: pass
            """

        private func stress(_ options: String..., expecting status: Int) throws -> [Trial: StressResult.Scenario] {
            let (script, json) = (try harness.writeFile("pool.py", Self.pool), harness.path("stress.json"))
            let words =
                ["stress", "--grace", "1s", "--json", json] + options + [
                    "--", "/usr/bin/python3", script, Programs.cgrun,
                ]
            let outcome = try harness.startCgrun(words).end(within: .seconds(300))
            #expect(outcome.exitCode == status, "\(outcome.output)\(outcome.errors)")
            let result = try JSONDecoder().decode(
                StressResult.self, from: Data(contentsOf: URL(filePath: json)))
            try harness.expectNothingLeft()
            return Dictionary(uniqueKeysWithValues: result.scenarios.map { ($0.trial, $0) })
        }

        @Test(.onRealMachines, .once) func everyScenario() throws {
            let scenarios = try stress(
                "--ready", "23790", "--busy", "^sleep 2718", "--worker", "pool-worker", "--cycles", "6",
                expecting: 0)
            #expect(scenarios.keys.count == Trial.allCases.count)
            for (trial, scenario) in scenarios {
                // Signals to the whole process group reach the tool, which does not hold the port.
                let good: [Trial] = [.interrupt, .hangUp, .timeout, .restart, .doubleStart]
                let bare: Finding.Outcome? =
                    good.contains(trial)
                    ? .passed
                    : trial == .launcherKilled || trial == .launcherAndGuardKilled ? nil : .failed
                #expect(scenario.bare?.outcome == bare, "\(trial): \(scenario)")
                let cgrun: Finding.Outcome = trial == .launcherAndGuardKilled ? .knownLimit : .passed
                #expect(scenario.cgrun?.outcome == cgrun, "\(trial): \(scenario)")
            }
            let left = try #require(scenarios[.workerKilled]?.bare?.left)
            #expect(left.map(\.command) == ["sleep 2718"])
            #expect(scenarios[.killMain]?.bare?.left.map(\.name).sorted() == ["sh", "sleep"])
        }

        @Test(.onRealMachines) func orphansAreCounted() throws {
            let scenarios = try stress(
                "--ready", "23790", "--busy", "^sleep 2718", "--only", "2,9", expecting: 0)
            let scenario = try #require(scenarios[.killMain])
            #expect(scenario.bare?.left.contains { $0.command == "sleep 2718" } == true, "\(scenario)")
            #expect(scenario.cgrun?.outcome == .passed, "\(scenario)")
        }

        /// What a worker's tools do under cgrun where nobody runs them by cgrun.
        @Test(.onRealMachines, .once) func failuresUnderCgrunAreTold() throws {
            let script = try harness.writeFile(
                "worker.sh", "while :; do sh -c 'sleep 2718; :' pool-worker & wait; done")
            let outcome = try harness.cgrun(
                "stress", "--only", "5a", "--side", "cgrun", "--worker", "pool-worker", "--busy", "^sleep 2718", "--",
                "sh", script)
            #expect(outcome.exitCode == 1)
            #expect(outcome.output.contains(text: "the worker's own tools live as long as the whole job"))
            #expect(outcome.output.contains(text: "FAIL: under cgrun, 0 of 1 scenarios passed"))
            try harness.expectNothingLeft()
        }

        /// On an emulated machine, where this takes a minute, with one manager and user.
        @Test(
            .enabled(
                if: Capability.has("--mem") && Capability.has("--pids")
                    && (patience == 1 || Capability.usesSystemd && Capability.isRoot),
                "no limits here, or another tier shows it"))
        func limitsAreMet() throws {
            let scenarios = try stress(
                "--ready", "23790", "--busy", "^sleep 2718", "--only", "7", "--side", "cgrun", "--patience", "60s",
                expecting: 0)
            #expect(scenarios[.outOfMemory]?.cgrun?.detail.hasPrefix("the report has oom_own_limit at ") == true)
            #expect(scenarios[.forkRefused]?.cgrun?.outcome == .passed, "\(scenarios)")
        }

        /// A command that ends at once is tried where its end is what is tried, and fails nothing.
        @Test(.onRealMachines, .once) func shortCommand() throws {
            let outcome = try harness.cgrun("stress", "--json", "-", "--", "true")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(outcome.errors.contains(text: "PASS: under cgrun"), "\(outcome.errors)")
            let result = try JSONDecoder().decode(StressResult.self, from: Data(outcome.output.utf8))
            for scenario in result.scenarios {
                for finding in [scenario.bare, scenario.cgrun] {
                    #expect(finding?.outcome != .failed, "\(scenario)")
                }
                let isTried = [.normalEnd, .cycles].contains(scenario.trial)
                #expect((scenario.cgrun?.outcome == .passed) == isTried, "\(scenario)")
            }
            try harness.expectNothingLeft()
        }

        /// Each cycle gives back its descriptors.
        @Test(.onRealMachines, .once) func manyCycles() throws {
            let script = "ulimit -n 64; exec \"$0\" stress --only 10 --cycles 80 -- true"
            let outcome = try harness.start(["/bin/sh", "-c", script, Programs.cgrun]).end()
            #expect(outcome.exitCode == 0, "\(outcome.output)\(outcome.errors)")
            try harness.expectNothingLeft()
        }

        /// What was found until the suite cannot go on; here the command takes its directory away.
        @Test(.onRealMachines, .once) func findingsAreKept() throws {
            let json = harness.path("stress.json")
            let outcome = try harness.cgrun(
                "stress", "--only", "0,2", "--json", json, "--", "sh", "-c",
                "test $CGRUN_STRESS = bare || rm -rf \"${TMPDIR%/*/*}\"")
            #expect(outcome.exitCode == 125)
            #expect(outcome.errors.contains(text: "scenario 2, bare: mkdir"), "\(outcome.errors)")
            #expect(outcome.output.contains(text: "1 of 1 scenarios passed; the rest was not tried"))
            let result = try JSONDecoder().decode(StressResult.self, from: Data(contentsOf: URL(filePath: json)))
            #expect(result.failure != nil && result.scenarios.first?.cgrun?.outcome == .passed)
            try harness.expectNothingLeft()
        }

        /// A process lives on in its threads when its first thread has ended.
        @Test(.onRealMachines, .once) func threadsAreFound() throws {
            let script = try harness.writeFile(
                "threads.py",
                """
                import ctypes, threading, time
                threading.Thread(target=time.sleep, args=(60,)).start()
                ctypes.CDLL(None).pthread_exit(None)
                """)
            let outcome = try harness.cgrun(
                "stress", "--only", "2", "--side", "bare", "--", "sh", "-c", "/usr/bin/python3 \(script) & sleep 2718")
            #expect(outcome.output.contains(text: "left 2 processes (1 python3, 1 sleep)"), "\(outcome.output)")
            try harness.expectNothingLeft()
        }

        @Test(.onRealMachines, .once) func graceIsMeasured() throws {
            let outcome = try harness.cgrun(
                "stress", "--only", "1a", "--side", "bare", "--grace", "500ms", "--ready", "ready", "--", "sh", "-c",
                "trap 'sleep 2.5; exit 0' TERM; echo ready; while :; do sleep 0.1; done")
            #expect(outcome.exitCode == 1)
            #expect(outcome.output.contains(text: "FAIL        ended only after 2."), "\(outcome.output)")
            try harness.expectNothingLeft()
        }

        /// What a command writes does not make it wait, and its sign of readiness is found behind.
        @Test(.onRealMachines, .once) func muchOutput() throws {
            let outcome = try harness.cgrun(
                "stress", "--only", "2", "--ready", "I am ready", "--", "sh", "-c",
                "yes | head -c 20000000; echo I am ready; yes; exit")
            #expect(outcome.output.contains(text: "PASS: under cgrun, 1 of 1"), "\(outcome.output)\(outcome.errors)")
            try harness.expectNothingLeft()
        }

        /// Files and shared memory of a command that has ended in order.
        @Test(.onRealMachines, .once) func tracesAreTold() throws {
            let shared = "/dev/shm/cgrun-test-\(harness.marker.text)"
            defer { unlink(shared) }
            let script = try harness.writeFile(
                "untidy.py",
                """
                import mmap, os, time
                open(os.environ["TMPDIR"] + "/forgotten", "w").close()
                with open("\(shared)", "w+b") as file:
                    file.truncate(4096)
                    kept = mmap.mmap(file.fileno(), 4096)
                time.sleep(1)
                """)
            let outcome = try harness.cgrun("stress", "--only", "0", "--", "/usr/bin/python3", script)
            #expect(outcome.exitCode == 1)
            #expect(
                outcome.output.contains(text: "left shared memory \(shared), temporary file forgotten"),
                "\(outcome.output)")
            try harness.expectNothingLeft()
        }

        /// However the suite is lost, nothing of what it has started is left.
        @Test(.onRealMachines, .once, arguments: 0..<3) func theSuiteIsKilled(round: Int) throws {
            let script = try harness.writeFile("pool.py", Self.pool)
            let suite = try harness.startCgrun(
                [
                    "stress", "--grace", "1s", "--ready", "23790", "--busy", "^sleep 2718", "--", "/usr/bin/python3",
                    script,
                    Programs.cgrun,
                ], environment: ["TMPDIR": harness.path("")])
            let (delay, signal) = (Int.random(in: 100...2_000), [Signal.kill, .interrupt, .terminate][round])
            pause(.milliseconds(delay))
            suite.send(signal)
            _ = try suite.end()
            do { try harness.expectNothingLeft() } catch { Issue.record("\(signal) after \(delay)ms: \(error)") }
        }

        @Test(.onRealMachines, .once) func whatCannotBeTried() throws {
            for (words, message) in [
                (
                    ["--ready", "23791", "--patience", "200ms", "--", "sleep", "60"],
                    "did not accept connections at port 23791"
                ),
                (
                    ["--ready", "I am ready", "--patience", "200ms", "--", "sh", "-c", "echo not yet; sleep 60"],
                    "did not write a line with \"I am ready\" within 0.2s; its last lines: not yet"
                ), (["--", "no-such-program"], "no-such-program does not start"),
                (["--only", "4", "--", "true"], "--only 4: expected numbers"),
                (["--json", "/nowhere/f", "--", "true"], "--json /nowhere/f: cannot be written"),
                (["--only", "5", "--", "true"], "--only 5: scenario 5a needs --worker"),
                (
                    ["--ready", "hi", "--work", "exit 7", "--", "sh", "-c", "echo hi; sleep 60"],
                    "it got no work: --work exited with 7"
                ),
                (
                    ["--ready", "hi", "--work", "sleep 1; exit 7", "--", "sh", "-c", "echo hi; sleep 60"],
                    "it got no work: --work exited with 7"
                ), (["--json", "-", "--markdown", "-", "--", "true"], "both are for standard output"),
                (["--only", "6b,6c", "--side", "bare", "--", "true"], "expected scenarios that can be tried"),
                (["--worker", "(", "--", "true"], "--worker (: expected a regular expression"),
                ([], "no command given"),
            ] {
                let outcome = try harness.startCgrun(["stress"] + words).end()
                #expect(outcome.exitCode == 125, "\(words)")
                #expect(outcome.errors.contains(text: message), "\(outcome.errors)")
                #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
            }
            try harness.expectNothingLeft()
        }
    }
}
