import CgroupSandbox
import LinuxSystem
import TestSupport
import Testing

let hasSetsid = isExecutable("/usr/bin/setsid")

extension Behaviour {
    /// On a real terminal: cgrun is in nobody's way.
    @Suite(.onRealMachines, .enabled(if: hasSetsid, "setsid is not installed")) struct Terminals: UsesTerminal {
        let harness: Harness
        let terminal: Terminal

        init() throws {
            harness = try Harness()
            terminal = try Terminal()
        }

        /// cgrun itself as the leader of the session, as `script -c` or an ssh command has it.
        private func start(_ arguments: String...) throws -> TestProcess {
            try terminal.start([Programs.cgrun] + arguments, harness)
        }

        @Test func controlsTheCommand() throws {
            let job = try start("--", Programs.probe, "group")
            #expect(try job.end().exitCode == 0)
            terminal.drain()
            let words = terminal.output.split { $0 == " " || $0.isNewline }
            let numbers = words.compactMap { Int32($0) }
            try #require(numbers.count == 4, "\(terminal.output)")
            // The command is in cgrun's group, session and foreground.
            #expect(numbers[0] != numbers[1])
            #expect(numbers[1] == job.pid, "\(numbers)")
            #expect(numbers[1] == numbers[2] && numbers[1] == numbers[3], "\(numbers)")
            try harness.expectNothingLeft()
        }

        @Test func isTheCommandsOwn() throws {
            let job = try start("sh", "-c", "tty; echo $((3+4)) > /dev/tty; test -t 0 && test -t 1 && echo is-$((1+1))")
            #expect(try job.end().exitCode == 0)
            try terminal.waitFor("/dev/pts/")
            try terminal.waitFor("7")
            try terminal.waitFor("is-2")
            try harness.expectNothingLeft()
        }

        @Test func interruptArrivesExactlyOnce() throws {
            let job = try start("--", Programs.probe, "catch", "300")
            try terminal.waitFor("ready")
            try terminal.type("\u{3}")
            #expect(try job.end().exitCode == 0)
            #expect(terminal.count(of: "got 2") == 1, "\(terminal.output)")
            try harness.expectNothingLeft()
        }

        @Test func quitArrivesExactlyOnce() throws {
            let job = try start("--", Programs.probe, "catch", "300")
            try terminal.waitFor("ready")
            try terminal.type("\u{1C}")
            #expect(try job.end().exitCode == 0)
            #expect(terminal.count(of: "got 3") == 1, "\(terminal.output)")
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

        /// A shell ends its loop only if what it waits for died of the key's signal.
        @Test func interruptEndsAShellsLoop() throws {
            let loop =
                "for i in 1 2 3; do \(Programs.cgrun) -- sh -c 'echo turn-$1; exec sleep 1000' sh $i; done; echo on"
            let shell = try terminal.start(["bash", "-c", loop], harness)
            try terminal.waitFor("turn-1")
            try terminal.type("\u{3}")
            #expect(try shell.end().status == .signaled(.interrupt, coreDumped: false))
            terminal.drain()
            #expect(!terminal.output.contains(text: "turn-2") && !terminal.output.contains(text: "on\r"))
            try harness.expectNothingLeft()
        }

        /// The terminal sends its signals to one process group.
        @Test func keysReachACommandThatLeftTheGroup() throws {
            let job = try start("--", Programs.probe, "group-catch", "300")
            try terminal.waitFor("ready")
            try terminal.type("\u{3}")
            #expect(try job.end().exitCode == 0)
            #expect(terminal.count(of: "got 2") == 1, "\(terminal.output)")
            try harness.expectNothingLeft()
        }

        @Test func resizingReachesTheCommand() throws {
            let job = try start("--", Programs.probe, "catch", "300")
            try terminal.waitFor("ready")
            terminal.resize(rows: 33, columns: 44)
            #expect(try job.end().exitCode == 0)
            #expect(terminal.count(of: "got 28") == 1, "\(terminal.output)")
            try harness.expectNothingLeft()
        }

        /// The kernel tells it to the leader of the session alone, and here that is cgrun.
        @Test func hangingUpReachesTheCommand() throws {
            let lost = try Terminal()
            let script =
                "trap 'echo hup > \(harness.path("log")); exit 5' HUP; echo ready; "
                + "while :; do sleep 0.01; done"
            let job = try lost.start([Programs.cgrun, "sh", "-c", script], harness)
            try lost.waitFor("ready")
            lost.hangUp()
            #expect(try job.end(within: .seconds(10)).exitCode == 5)
            #expect(try readTextFile(harness.path("log")) == "hup\n")
            try harness.expectNothingLeft()
        }

        // MARK: Job control

        @Test func stopsAndGoesOn() throws {
            let shell = try startShell()
            try terminal.type("\(Programs.cgrun) -- \(Programs.probe) catch 300\n")
            try terminal.waitFor("ready")
            for _ in 0..<3 {
                try terminal.type("\u{1A}")
                try waitUntilStopped("cgrun-probe")
                try bringToForeground("cgrun-probe")
            }
            try terminal.type("\u{3}")
            try terminal.waitFor("got 2")
            try terminal.type("echo status-$?-$((1+1)); exit\n")
            try terminal.waitFor("status-0-2")
            _ = try shell.end()
            #expect(terminal.output.split(separator: "got 2").count == 2)
            try harness.expectNothingLeft()
        }

        /// Who stops itself (an editor, say) takes cgrun along, or the shell would wait for ever.
        @Test func aCommandThatStopsItselfGivesTheTerminalBack() throws {
            let shell = try startShell()
            try terminal.type("\(Programs.cgrun) -- sh -c 'kill -STOP $$; echo post-$((1+1))'\n")
            try waitUntilStopped("sh", besides: shell.pid)
            try terminal.type("echo prompt-$((1+1))\n")
            try terminal.waitFor("prompt-2")
            try terminal.type("fg\n")
            try terminal.waitFor("post-2")
            try terminal.type("exit\n")
            _ = try shell.end()
            try harness.expectNothingLeft()
        }

        @Test func worksInAPipeline() throws {
            let shell = try startShell()
            try terminal.type("\(Programs.cgrun) -- sh -c 'echo out-$((1+1)); exec sleep 1000' | cat\n")
            try terminal.waitFor("out-2")
            try terminal.type("\u{3}")
            try terminal.type("echo prompt-$((1+1)); exit\n")
            try terminal.waitFor("prompt-2")
            _ = try shell.end()
            try harness.expectNothingLeft()
        }

        /// In the background it may write, and a read stops it as any job.
        @Test func worksInTheBackground() throws {
            let shell = try startShell()
            try terminal.type("\(Programs.cgrun) -- cat &\n")
            try waitUntilStopped("cat")
            try bringToForeground("cat")
            try terminal.type("typed\n")
            try eventually("the echo and cat's copy: \(terminal.output)") { terminal.count(of: "typed") == 2 }
            try terminal.type("\u{4}")
            try terminal.type("echo end-$?-$((1+1)); exit\n")
            try terminal.waitFor("end-0-2")
            _ = try shell.end()
            try harness.expectNothingLeft()
        }
    }
}
