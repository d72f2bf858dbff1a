import CgroupSandbox
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// What cgrun itself prints: whole, or a failure; in lines that nobody else can break.
    @Suite(.onRealMachines) struct Output {
        let harness: Harness

        init() throws { harness = try Harness() }

        private static let printing = [
            "check", "check --json", "sweep --dry-run", "unit service x -- /bin/true", "--dry-run -- true", "--help",
            "sweep --help", "--version", "--generate-completion-script bash",
        ]

        @Test(arguments: printing) func whatCannotBePrintedIsAnError(_ arguments: String) throws {
            for (redirection, reason) in [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")] {
                let outcome = try harness.start(["sh", "-c", "\(Programs.cgrun) \(arguments) \(redirection)"]).end()
                #expect(outcome.exitCode == 125, "\(redirection)")
                #expect(outcome.errors == "cgrun: write standard output: \(reason)\n")
            }
            try harness.expectNothingLeft()
        }

        /// As of any other program, whoever reads from it.
        @Test func aReaderThatHasSeenEnoughIsNoError() throws {
            let script = "{ \(Programs.cgrun) --dry-run -- true; echo status $? >&2; } | true"
            for _ in 0..<20 {
                let outcome = try harness.start(["sh", "-c", script]).end()
                #expect(["status 141\n", "status 0\n"].contains(outcome.errors))
            }
            try harness.expectNothingLeft()
        }

        @Test func eachSubcommandHasHelpOfItsOwn() throws {
            #expect(try harness.cgrun("sweep", "--help").output.contains(text: "USAGE: cgrun sweep [--dry-run]\n"))
            #expect(try harness.cgrun("check", "--help").output.contains(text: "USAGE: cgrun check [--json]\n"))
        }

        /// A name is data: it neither ends a line nor colours it.
        @Test func namesStayInTheirLines() throws {
            let name = "a\n\u{1B}[31mb"
            let script = try harness.writeFile(name, "#!/bin/sh\nkill -9 $$\n")
            let missing = try harness.cgrun("--", script + "c")
            #expect(try harness.start(["chmod", "+x", script]).end().exitCode == 0)
            let died = try harness.reported("-v", "--", script)
            let planned = try harness.cgrun("--dry-run", "--", script)
            #expect(missing.exitCode == 127 && died.outcome.exitCode == 137 && planned.exitCode == 0)
            for text in [missing.errors, died.outcome.errors, planned.output] {
                #expect(!text.contains(text: "\u{1B}") && text.contains(text: #"a\n\x1b[31mb"#), "\(text)")
            }
            #expect(missing.errors.filter { $0 == "\n" }.count == 1)
            #expect(died.report.explanation?.hasPrefix(#""a\n\x1b[31mb" was ended by SIGKILL"#) == true)
            #expect(died.report.argv == [script])
            try harness.expectNothingLeft()
        }

        /// The command must not run for a report that nobody can write.
        @Test func aDirectoryThatWasRemovedGetsNoReport() throws {
            let script = "mkdir \"$1\" && cd \"$1\" && rmdir \"$1\" && exec \"$2\" --report r.json -- echo ran"
            let outcome = try harness.start(["sh", "-c", script, "sh", harness.path("gone"), Programs.cgrun]).end()
            #expect(outcome.exitCode == 125 && outcome.output == "")
            #expect(outcome.errors.contains(text: "--report r.json: cannot be written: its directory was removed"))
            try harness.expectNothingLeft()
        }

        @Test func theReportExplainsItself() throws {
            let (outcome, report) = try harness.reported("--timeout", "50ms", "--", "sleep", "1000")
            #expect(report.explanation == "sleep was stopped at its time limit (--timeout 50ms) with SIGTERM.")
            #expect(report.advice == "Raise --timeout, or find out what it waited for.")
            #expect(outcome.errors == "cgrun: \(report.explanation!) \(report.advice!)\n")
            let plain = try harness.reported("true").report
            #expect(plain.explanation == nil && plain.advice == nil)
            let missing = try harness.reported("/no/such/command").report
            #expect(missing.explanation == "/no/such/command: command not found" && missing.advice == nil)
            try harness.expectNothingLeft()
        }
    }
}
