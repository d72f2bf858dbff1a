import CgroupSandbox
import Glibc
import LinuxSystem
import TestSupport
import Testing

private let isReady = hasSetsid && Capability.isRoot

extension Behaviour {
    /// A command of another user's on a terminal, where a shell of root's reads what is typed.
    @Suite(.onRealMachines, .enabled(if: isReady, "setsid is not installed, or not root"))
    struct OtherUsers: UsesTerminal {
        let harness: Harness
        let terminal: Terminal
        /// Where anybody may execute it.
        private let probe: String

        init() throws {
            harness = try Harness()
            terminal = try Terminal()
            probe = harness.path("cgrun-probe")
            #expect(try harness.start(["cp", Programs.probe, probe]).end().exitCode == 0)
        }

        private static let asNobody = "\(Programs.cgrun) --uid 65534 --gid 65534"

        /// An interactive shell that has all of its standard streams on the terminal.
        private func startShell() throws -> TestProcess {
            let shell = try terminal.start(["sh", "-c", "exec sh -i 2>&1"], harness)
            try terminal.type("echo shell-$((1+1))\n")
            try terminal.waitFor("shell-2")
            return shell
        }

        /// A file that anybody may write.
        private func file(_ name: String) throws -> String {
            let path = try harness.writeFile(name, "")
            chmod(path, 0o666)
            return path
        }

        private func text(_ name: String) -> String { (try? readTextFile(harness.path(name))) ?? "" }

        /// Has the shell say something: what had been typed before that has been carried out by then.
        private func expectNothingTyped() throws {
            try terminal.type("echo end-$((1+1))\n")
            try terminal.waitFor("end-2")
            #expect(!terminal.output.contains(text: "typed-2"), "\(terminal.output)")
        }

        private func end(_ shell: TestProcess) throws {
            // A shell with a stopped job wants to be told twice.
            try terminal.type("exit\nexit\n")
            _ = try shell.end()
            try harness.expectNothingLeft()
        }

        // MARK: Typing

        /// What is behind the command in the shell's line, and whether the command has a terminal of its own.
        private static let surroundings: [(words: String, hasTerminal: Bool, output: String?, errors: String?)] = [
            ("", true, nil, nil), ("> OUT", false, "out\n", nil), ("2> ERR", false, nil, "errors\n"),
            ("> OUT 2> ERR", false, "out\n", "errors\n"), ("< /dev/null", false, nil, nil),
            ("< /dev/null > OUT 2> ERR", false, "out\n", "errors\n"), ("| cat", false, nil, nil),
            ("> OUT &", false, "out\n", nil), ("&", false, nil, nil),
            ("< /dev/null > OUT 2> ERR &", false, "out\n", "errors\n"),
        ]

        @Test(arguments: surroundings.indices) func theCommandCannotTypeForTheShell(_ index: Int) throws {
            let (words, hasTerminal, output, errors) = Self.surroundings[index]
            let report = try file("report")
            let redirections = ["OUT": try file("out"), "ERR": try file("err")]
            let line = words.split(separator: " ").map { redirections[String($0)] ?? String($0) }.joined(separator: " ")
            let shell = try startShell()
            try terminal.type("\(Self.asNobody) -- \(probe) type \(report) 'echo typed-$((1+1))' \(line)\n")
            try eventually("the command's end: \(terminal.output)") {
                terminal.drain()
                return !text("report").isEmpty && states("cgrun-probe").isEmpty
            }
            try expectNothingTyped()
            let told = text("report").split(separator: " ").map(String.init)
            try #require(told.count == 10, "\(told)")
            #expect(told[1] != "\(shell.pid)" && told[3] == "1", "a session of its own: \(told)")
            #expect(told[5] == (hasTerminal ? "1" : "0"), "whether there is a /dev/tty: \(told)")
            // Its own terminal may have taken it.
            #expect(hasTerminal || told[7] == "0", "\(told)")
            // Nor can it read there what is typed for the shell.
            if !hasTerminal { #expect(told[9].hasSuffix("00\n"), "\(told)") }
            #expect(output == nil || text("out") == output)
            #expect(errors == nil || text("err") == errors)
            #expect(output != nil || terminal.count(of: "out") == 1, "\(terminal.output)")
            #expect(errors != nil || terminal.count(of: "errors") == 1, "\(terminal.output)")
            #expect(terminal.editsLines)
            try end(shell)
        }

        @Test(arguments: ["", "> OUT 2>&1 < /dev/null"]) func norCanAJobOfAProgram(_ redirection: String) throws {
            let (report, output) = (try file("report"), try file("out"))
            let line = redirection.split(separator: " ").map { $0 == "OUT" ? output : String($0) }.joined(
                separator: " ")
            let shell = try startShell()
            try terminal.type(
                "CGRUN_GUARD=\(Programs.guardian) \(Programs.host) nobody \(probe) type \(report) "
                    + "'echo typed-$((1+1))' \(line)\n")
            try expectNothingTyped()
            let told = text("report").split(separator: " ").map(String.init)
            try #require(told.count == 10, "\(told) \(terminal.output)")
            #expect(told[1] != "\(shell.pid)" && told[3] == "1" && told[5] == "0" && told[7] == "0", "\(told)")
            #expect(told[9].hasSuffix("00\n") || !redirection.isEmpty, "\(told)")
            try end(shell)
        }

        /// Who changes no user is where it always was: in the shell's session, and in cgrun's process group.
        @Test(arguments: ["", "--uid 0", "--gid 65534"]) func theSameUserStaysInTheSession(_ option: String) throws {
            let shell = try startShell()
            try terminal.type("\(Programs.cgrun) \(option) -- \(probe) group; echo status-$?-$((1+1))\n")
            try terminal.waitFor("status-0-2")
            // Behind a prompt where the shell was slower than the typist.
            let numbers = terminal.output.split(whereSeparator: \.isNewline)
                .map { $0.split(separator: " ").drop { $0 == "%" }.map(String.init) }
                .first { $0.count == 4 && $0.allSatisfy { Int($0) != nil } }
            try #require(numbers != nil, "\(terminal.output)")
            #expect(numbers?[2] == "\(shell.pid)", "\(terminal.output)")
            #expect(numbers?[1] == numbers?[3] && numbers?[0] != numbers?[1], "\(terminal.output)")
            try end(shell)
        }

        @Test func withoutATerminalNothingChanges() throws {
            let outcome = try harness.start(
                ["setsid", Programs.cgrun, "--uid", "65534", "--gid", "65534", "--", probe, "group"]
            ).end()
            let numbers = outcome.output.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
            try #require(numbers.count == 4)
            #expect(numbers[0] != numbers[1] && numbers[1] == numbers[2], "\(outcome)")
        }

        @Test func dryRunsTell() throws {
            let shell = try startShell()
            try terminal.type("\(Self.asNobody) --dry-run -- true; \(Self.asNobody) --dry-run -- true | cat\n")
            try terminal.waitFor("setsid, on a terminal of")
            try terminal.waitFor("setsid, without a terminal")
            try end(shell)
        }

        // MARK: A terminal of its own

        @Test func keysReachACommandOnItsOwnTerminal() throws {
            let shell = try startShell()
            try terminal.type("\(Self.asNobody) -- \(probe) catch 300\n")
            try terminal.waitFor("ready")
            try terminal.waitUntilItEditsLines(false)
            try terminal.type("\u{1A}")
            try waitUntilStopped("cgrun-probe")
            #expect(terminal.editsLines)
            try bringToForeground("cgrun-probe")
            try terminal.waitUntilItEditsLines(false)
            try terminal.type("\u{3}")
            try terminal.waitFor("got 2")
            // What is typed before is the command's.
            try terminal.waitUntilItEditsLines(true)
            try terminal.type("echo status-$?-$((1+1))\n")
            try terminal.waitFor("status-0-2")
            #expect(terminal.output.split(separator: "got 2").count == 2)
            try end(shell)
        }

        // MARK: A session of its own

        @Test(arguments: [("\u{3}", 2), ("\u{1C}", 3)])
        func keysArriveExactlyOnce(_ key: String, _ number: Int) throws {
            let output = try file("out")
            let shell = try startShell()
            try terminal.type("\(Self.asNobody) -- \(probe) catch 300 > \(output); echo status-$?-$((1+1))\n")
            try eventually("ready") { text("out") == "ready\n" }
            try terminal.type(key)
            try terminal.waitFor("status-0-2")
            #expect(text("out") == "ready\ngot \(number)\n")
            try end(shell)
        }

        @Test func resizingReachesTheCommand() throws {
            let output = try file("out")
            let shell = try startShell()
            try terminal.type("\(Self.asNobody) -- \(probe) catch 300 > \(output); echo status-$?-$((1+1))\n")
            try eventually("ready") { text("out") == "ready\n" }
            terminal.resize(rows: 33, columns: 44)
            try terminal.waitFor("status-0-2")
            #expect(text("out") == "ready\ngot 28\n")
            try end(shell)
        }

        @Test func theReportTellsTheTerminal() throws {
            let (output, report) = (try file("out"), try file("report"))
            let shell = try startShell()
            try terminal.type(
                "\(Self.asNobody) --report \(report) -- sh -c 'echo ready; exec sleep 1000' > \(output); echo status-$?-\n"
            )
            try eventually("ready") { text("out") == "ready\n" }
            try terminal.type("\u{3}")
            try terminal.waitFor("interrupted from the terminal (SIGINT)")
            let ended = try harness.report(report)
            #expect(ended.cause == .signalOther || ended.cause == .signalForwarded, "\(ended.cause)")
            #expect(ended.evidence.contains { $0.value == "terminal" }, "\(ended.evidence)")
            try end(shell)
        }

        @Test(arguments: ["> OUT", "< /dev/null > OUT 2> OUT"])
        func stopsAndGoesOn(_ redirection: String) throws {
            let output = try file("out")
            let line = redirection.split(separator: " ").map { $0 == "OUT" ? output : String($0) }.joined(
                separator: " ")
            let shell = try startShell()
            try terminal.type("\(Self.asNobody) -- \(probe) catch 300 \(line)\n")
            try eventually("ready") { text("out") == "ready\n" }
            for round in 1...3 {
                try terminal.type("\u{1A}")
                try waitUntilStopped("cgrun-probe")
                // The shell has its terminal.
                try terminal.type("echo prompt-\(round)-$((1+1))\n")
                try terminal.waitFor("prompt-\(round)-2")
                try bringToForeground("cgrun-probe")
            }
            try terminal.type("\u{3}")
            try terminal.type("echo status-$?-$((1+1))\n")
            try terminal.waitFor("status-0-2")
            // SIGTSTP the probe does not count.
            #expect(text("out") == "ready\ngot 2\n")
            try end(shell)
        }

        @Test func pipelinesStopAndGoOn() throws {
            let shell = try startShell()
            try terminal.type("\(Self.asNobody) -- sh -c 'echo ready-$((1+1)); exec sleep 1000' | cat\n")
            try terminal.waitFor("ready-2")
            try eventually("sleep") { states("sleep").count == 2 }
            try terminal.type("\u{1A}")
            try waitUntilStopped("sleep")
            try terminal.type("echo prompt-$((1+1))\n")
            try terminal.waitFor("prompt-2")
            try bringToForeground("sleep")
            try terminal.type("\u{3}")
            try terminal.waitFor("interrupted from the terminal")
            try end(shell)
        }

        /// cgrun leads the session: no shell would continue it.
        @Test func withoutAShellNothingStops() throws {
            let job = try terminal.start(
                ["sh", "-c", "exec \"$@\" < /dev/null", "sh", Programs.cgrun, "--uid", "65534", "--gid", "65534", "--"]
                    + [probe, "catch", "300"], harness)
            try terminal.waitFor("ready")
            for _ in 0..<3 { try terminal.type("\u{1A}") }
            try terminal.type("\u{3}")
            try terminal.waitFor("got 2")
            #expect(try job.end().exitCode == 0)
            try harness.expectNothingLeft()
        }

        @Test func whoIgnoresTheKeyGoesOn() throws {
            let output = try file("out")
            let shell = try startShell()
            try terminal.type(
                "\(Self.asNobody) -- sh -c 'trap \"\" TSTP; trap \"echo got; exit 0\" INT; echo ready; while :; do sleep 0.01; done'"
                    + " > \(output); echo status-$?-$((1+1))\n")
            try eventually("ready") { text("out") == "ready\n" }
            try terminal.type("\u{1A}")
            pause(.milliseconds(100))
            try terminal.type("\u{3}")
            try terminal.waitFor("status-0-2")
            #expect(text("out") == "ready\ngot\n")
            try end(shell)
        }

        @Test func aCommandThatStopsItselfGivesTheTerminalBack() throws {
            let output = try file("out")
            let shell = try startShell()
            try terminal.type("\(Self.asNobody) -- sh -c 'kill -STOP $$; echo post-$((1+1))' > \(output)\n")
            try waitUntilStopped("sh", besides: shell.pid)
            try terminal.type("echo prompt-$((1+1))\n")
            try terminal.waitFor("prompt-2")
            try terminal.type("fg\n")
            try eventually("post") { text("out") == "post-2\n" }
            try end(shell)
        }

        /// What is typed is for the shell: a command in another session would not be stopped for reading it.
        @Test func inTheBackgroundItReadsNothing() throws {
            let output = try file("out")
            let shell = try startShell()
            try terminal.type(
                "\(Self.asNobody) -- sh -c 'cat; echo read-$?; exec sleep 1000' > \(output) &\n")
            try eventually("the end of the input: \(text("out"))") { text("out") == "read-0\n" }
            for count in 1...3 {
                try terminal.type("echo mine-\(count)-$((1+1))\n")
                try terminal.waitFor("mine-\(count)-2")
            }
            let command = try harness.survivor("sleep")
            #expect(states("sleep").count == 2 && !states("sleep").contains("T"), "\(states("sleep"))")
            // Nor by the others.
            #expect(readLink("/proc/\(command.pid)/fd/0") == "/dev/null")
            try terminal.type("kill %1\n")
            try eventually("neither: \(terminal.output)") {
                terminal.drain()
                return states("sleep").isEmpty
            }
            try end(shell)
        }

        /// With the terminal as its input it is for the foreground, as if it read all the time.
        @Test func aReaderDoesNotGoOnInTheBackground() throws {
            let output = try file("out")
            let shell = try startShell()
            try terminal.type("\(Self.asNobody) -- cat > \(output)\n")
            try eventually("cat") { states("cat").count == 2 }
            try terminal.type("one\n")
            try eventually("one") { text("out") == "one\n" }
            try terminal.type("\u{1A}")
            try waitUntilStopped("cat")
            try terminal.type("bg; echo back-$((1+1))\n")
            try terminal.waitFor("back-2")
            try waitUntilStopped("cat")
            try terminal.type("echo mine-$((1+1))\n")
            try terminal.waitFor("mine-2")
            try bringToForeground("cat")
            try terminal.type("two\n")
            try eventually("two") { text("out") == "one\ntwo\n" }
            try terminal.type("\u{4}")
            try terminal.type("echo status-$?-$((1+1))\n")
            try terminal.waitFor("status-0-2")
            try end(shell)
        }

        @Test(arguments: [false, true]) func hangingUpReachesTheCommand(_ hasShell: Bool) throws {
            let log = try file("log")
            let lost = try Terminal()
            let script = "trap 'echo hup >> \(log); exit 5' HUP; echo ready; while :; do sleep 0.01; done"
            let process: TestProcess
            if hasShell {
                process = try lost.start(["sh", "-i"], harness)
                try lost.type("\(Self.asNobody) --no-die-with-parent -- sh -c \"\(script)\" < /dev/null\n")
            } else {
                process = try lost.start(
                    ["sh", "-c", "exec \"$@\" < /dev/null", "sh", Programs.cgrun, "--uid", "65534", "--gid", "65534"]
                        + ["--", "sh", "-c", script], harness)
            }
            try eventually("ready: \(lost.output)") {
                lost.drain()
                return lost.count(of: "ready") == 1
            }
            lost.hangUp()
            let outcome = try process.end()
            if !hasShell { #expect(outcome.exitCode == 5) }
            try eventually("the signal") { text("log").hasPrefix("hup\n") }
            try harness.expectNothingLeft()
        }
    }
}
