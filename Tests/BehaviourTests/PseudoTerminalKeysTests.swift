import CgroupSandbox
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// `--pty` with somebody at the keyboard of cgrun's own terminal.
    @Suite(.onRealMachines, .enabled(if: hasSetsid, "setsid is not installed"))
    struct PseudoTerminalKeys: UsesTerminal {
        let harness: Harness
        let terminal: Terminal

        init() throws {
            harness = try Harness()
            terminal = try Terminal()
            terminal.resize(rows: 33, columns: 44)
        }

        private func start(_ arguments: String...) throws -> TestProcess {
            try terminal.start([Programs.cgrun, "--pty"] + arguments, harness)
        }

        // MARK: The terminal

        @Test func hasTheSizeAndFollowsIt() throws {
            let job = try start("--", Programs.probe, "window", "1")
            try terminal.waitFor("size 44x33")
            terminal.resize(rows: 55, columns: 66)
            try terminal.waitFor("size 66x55")
            #expect(try job.end().exitCode == 0)
            #expect(terminal.output == "size 44x33\r\nsize 66x55\r\n")
            try harness.expectNothingLeft()
        }

        /// Nobody is left whom the key could be for but cgrun itself.
        @Test func ctrlCEndsTheWaitForWhatIsLeft() throws {
            // Not before it has left the session, whose end would end it.
            let script = "setsid sh -c 'echo ready; exec sleep 1000' & read line; exit 3"
            let job = try start("--wait-all", "--", "sh", "-c", script)
            try terminal.waitFor("ready")
            try terminal.type("\n")
            try eventually("a terminal that sends signals") { terminal.sendsSignals }
            #expect(!job.hasEnded)
            try terminal.type("\u{3}")
            #expect(try job.end().exitCode == 3)
            try harness.expectNothingLeft()
        }

        @Test func showsWhatIsTypedOnce() throws {
            let job = try start("--", "cat")
            try terminal.waitUntilItEditsLines(false)
            try terminal.type("typed\n")
            try terminal.waitFor("typed\r\ntyped")
            try terminal.type("\u{4}")
            #expect(try job.end().exitCode == 0)
            #expect(terminal.output == "typed\r\ntyped\r\n")
            #expect(terminal.editsLines)
            try harness.expectNothingLeft()
        }

        @Test(arguments: [
            (["--", "sh", "-c", "echo on; read x; exit 7"], 7), (["--timeout", "300ms", "--", "sleep", "1000"], 124),
            (["-C", "/nonexistent", "--", "true"], 125), (["--", "/nonexistent/program"], 127),
        ])
        func isRestored(_ arguments: [String], _ code: Int) throws {
            let job = try terminal.start([Programs.cgrun, "--pty"] + arguments, harness)
            if code == 7 {
                try terminal.waitFor("on")
                #expect(!terminal.editsLines)
                try terminal.type("\n")
            }
            #expect(try job.end().exitCode == code)
            #expect(terminal.editsLines)
            try harness.expectNothingLeft()
        }

        @Test(arguments: [Signal.terminate, .interrupt, .hangUp])
        func isRestoredAfterASignal(_ signal: Signal) throws {
            let job = try start("--", "sh", "-c", "echo ready; exec sleep 1000")
            try terminal.waitFor("ready")
            #expect(!terminal.editsLines)
            job.send(signal)
            #expect(try job.end().shellStatus == 128 + Int(signal.rawValue))
            #expect(terminal.editsLines)
            try harness.expectNothingLeft()
        }

        @Test func hangingUpEndsTheJob() throws {
            let lost = try Terminal()
            let script =
                "trap 'echo hup >> \(harness.path("log")); exit 5' HUP; echo ready; while :; do sleep 0.01; done"
            let job = try lost.start([Programs.cgrun, "--pty", "sh", "-c", script], harness)
            try lost.waitFor("ready")
            lost.hangUp()
            #expect(try job.end().exitCode == 5)
            #expect(try readTextFile(harness.path("log")) == "hup\n")
            try harness.expectNothingLeft()
        }

        @Test func hangingUpEndsTheJobOfAShell() throws {
            let lost = try Terminal()
            let shell = try lost.start(["sh", "-i"], harness)
            try lost.type("\(Programs.cgrun) --pty -- sh -c 'echo ready-$((1+1)); exec sleep 1000'\n")
            try lost.waitFor("ready-2")
            lost.hangUp()
            _ = try shell.end()
            try harness.expectNothingLeft()
        }

        // MARK: Keys

        @Test(arguments: [("\u{3}", 2), ("\u{1C}", 3)])
        func keysArriveExactlyOnce(_ key: String, _ number: Int) throws {
            let job = try start("--", Programs.probe, "catch", "300")
            try terminal.waitFor("ready")
            try terminal.type(key)
            #expect(try job.end().exitCode == 0)
            terminal.drain()
            #expect(terminal.output.split(separator: "got ").count == 2, "\(terminal.output)")
            #expect(terminal.output.contains(text: "got \(number)"))
            try harness.expectNothingLeft()
        }

        @Test func interruptEndsWith130() throws {
            let job = try start("sh", "-c", "echo ready; exec sleep 1000")
            try terminal.waitFor("ready")
            try terminal.type("\u{3}")
            let outcome = try job.end()
            #expect(outcome.status == .signaled(.interrupt, coreDumped: false))
            #expect(outcome.errors.contains(text: "interrupted from the terminal (SIGINT)"))
            try harness.expectNothingLeft()
        }

        /// The keys of the own terminal, which then is not for keys only.
        @Test func keysReachACommandWhoseInputIsNoTerminal() throws {
            let shell = try startShell()
            try terminal.type("sleep 1000 | \(Programs.cgrun) --pty -- \(Programs.probe) catch 300\n")
            try terminal.waitFor("ready")
            #expect(terminal.editsLines)
            try terminal.type("\u{1A}")
            try waitUntilStopped("cgrun-probe")
            try bringToForeground("cgrun-probe")
            try terminal.type("\u{3}")
            try terminal.waitFor("got 2")
            // What is typed before is the command's.
            try terminal.waitUntilItEditsLines(true)
            try terminal.type("echo status-$?-$((1+1)); exit\n")
            try terminal.waitFor("status-0-2")
            _ = try shell.end()
            #expect(terminal.output.split(separator: "got 2").count == 2)
            try harness.expectNothingLeft()
        }

        // MARK: Job control

        @Test func stopsAndGoesOn() throws {
            let shell = try startShell()
            try terminal.type("\(Programs.cgrun) --pty -- \(Programs.probe) catch 300\n")
            try terminal.waitFor("ready")
            for _ in 0..<3 {
                try terminal.waitUntilItEditsLines(false)
                try terminal.type("\u{1A}")
                try waitUntilStopped("cgrun-probe")
                #expect(terminal.editsLines)
                try bringToForeground("cgrun-probe")
            }
            try terminal.waitUntilItEditsLines(false)
            try terminal.type("\u{3}")
            try terminal.waitFor("got 2")
            // What is typed before is the command's.
            try terminal.waitUntilItEditsLines(true)
            try terminal.type("echo status-$?-$((1+1)); exit\n")
            try terminal.waitFor("status-0-2")
            _ = try shell.end()
            #expect(terminal.output.split(separator: "got 2").count == 2)
            try harness.expectNothingLeft()
        }

        /// cgrun leads the session: no shell would continue it.
        @Test func withoutAShellNothingStops() throws {
            let job = try start("--", Programs.probe, "catch", "300")
            try terminal.waitFor("ready")
            for _ in 0..<3 { try terminal.type("\u{1A}") }
            try terminal.type("\u{3}")
            try terminal.waitFor("got 2")
            #expect(try job.end().exitCode == 0)
            #expect(terminal.editsLines)
            try harness.expectNothingLeft()
        }

        @Test func aSizeThatChangedMeanwhileIsAdopted() throws {
            let shell = try startShell()
            try terminal.type("\(Programs.cgrun) --pty -- \(Programs.probe) window 1\n")
            try terminal.waitFor("size 44x33")
            try terminal.type("\u{1A}")
            try waitUntilStopped("cgrun-probe")
            terminal.resize(rows: 55, columns: 66)
            try terminal.type("fg\n")
            try terminal.waitFor("size 66x55")
            try terminal.waitUntilItEditsLines(true)
            try terminal.type("exit\n")
            _ = try shell.end()
            try harness.expectNothingLeft()
        }

        @Test func aCommandThatStopsItselfGivesTheTerminalBack() throws {
            let shell = try startShell()
            try terminal.type("\(Programs.cgrun) --pty -- sh -c 'kill -STOP $$; echo post-$((1+1))'\n")
            try waitUntilStopped("sh", besides: shell.pid)
            try terminal.type("echo prompt-$((1+1))\n")
            try terminal.waitFor("prompt-2")
            try terminal.type("fg\n")
            try terminal.waitFor("post-2")
            try terminal.waitUntilItEditsLines(true)
            try terminal.type("exit\n")
            _ = try shell.end()
            try harness.expectNothingLeft()
        }

        /// In the background it stops like any program that wants the terminal, before anything is made.
        @Test func inTheBackgroundItWaits() throws {
            let shell = try startShell()
            try terminal.type("\(Programs.cgrun) --pty -- \(Programs.probe) terminal &\n")
            try eventually("cgrun stopped: \(terminal.output)") { states("cgrun") == ["T"] }
            #expect(terminal.editsLines)
            try terminal.type("fg\n")
            try terminal.waitFor("size 44x33")
            try terminal.waitUntilItEditsLines(true)
            try terminal.type("echo end-$?-$((1+1)); exit\n")
            try terminal.waitFor("end-0-2")
            _ = try shell.end()
            try harness.expectNothingLeft()
        }

        /// `bg` does not help it, and `kill` does.
        @Test func aStoppedJobCanBeEnded() throws {
            let shell = try startShell()
            try terminal.type("\(Programs.cgrun) --pty -- sleep 1000\n")
            try terminal.waitUntilItEditsLines(false)
            try eventually("sleep") { harness.marker.survivors.contains { $0.command == "sleep" } }
            try terminal.type("\u{1A}")
            try waitUntilStopped("sleep")
            try terminal.type("bg; echo back-$((1+1))\n")
            try terminal.waitFor("back-2")
            try waitUntilStopped("sleep")
            try terminal.type("kill %1; kill -CONT %1\n")
            try eventually("neither cgrun nor sleep: \(terminal.output)") {
                terminal.drain()
                return states("sleep").isEmpty
            }
            // A shell that has not looked at what became of a stopped job wants to be told twice.
            try terminal.type("exit\nexit\n")
            _ = try shell.end()
            #expect(terminal.editsLines)
            try harness.expectNothingLeft()
        }

        /// A shell in the job has its own jobs, and cgrun does not stop with them.
        @Test func jobControlWorksInside() throws {
            let job = try start("--", "sh", "-i")
            try terminal.type("echo shell-$((1+1))\n")
            try terminal.waitFor("shell-2")
            try terminal.type("sh -c 'echo begun-$((1+1)); exec sleep 1000'\n")
            try terminal.waitFor("begun-2")
            try eventually("sleep") { states("sleep").count == 2 }
            try terminal.type("\u{1A}")
            try eventually("sleep stopped: \(terminal.output)") {
                terminal.drain()
                return states("sleep").contains("T")
            }
            #expect(ProcessTable.state(job.pid) != "T")
            try terminal.type("echo prompt-$((1+1))\n")
            try terminal.waitFor("prompt-2")
            // The shell itself ignores the key.
            try terminal.type("\u{1A}")
            try terminal.type("fg\n")
            try eventually("sleep running") { states("sleep").contains("S") && !states("sleep").contains("T") }
            try terminal.type("\u{3}")
            try terminal.type("echo interrupted-$?-$((1+1))\n")
            try terminal.waitFor("interrupted-130-2")
            try terminal.type("exit 7\n")
            #expect(try job.end().exitCode == 7)
            #expect(terminal.editsLines)
            try harness.expectNothingLeft()
        }

        @Test func worksInsideItself() throws {
            let job = try start("--", Programs.cgrun, "--pty", "--", "sh", "-c", "tty; stty size; read x; echo got-$x")
            try terminal.waitFor("33 44")
            try terminal.type("it\n")
            #expect(try job.end().exitCode == 0)
            #expect(terminal.count(of: "got-it") == 1, "\(terminal.output)")
            try harness.expectNothingLeft()
        }
    }
}
