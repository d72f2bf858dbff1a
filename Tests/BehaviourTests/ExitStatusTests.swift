import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// The command's own status, or one that says what stood in its way.
    @Suite(.onRealMachines) struct ExitStatus {
        let harness: Harness

        init() throws { harness = try Harness() }

        @Test func allExitCodesPassThrough() throws {
            // Some of them where each takes long.
            for code in stride(from: 0, through: 255, by: patience == 1 ? 1 : 15) {
                #expect(try harness.cgrun("--", Programs.probe, "exit", "\(code)").exitCode == code)
            }
            try harness.expectNothingLeft()
        }

        @Test func signalsAre128More() throws {
            // 32 and 33 are the C library's own.
            // CHLD, CONT, URG and WINCH are ignored by default; STOP, TSTP, TTIN and TTOU stop.
            for number in 1...64 where ![32, 33, 17, 18, 23, 28, 19, 20, 21, 22].contains(number) {
                let outcome = try harness.cgrun("--", Programs.probe, "die", "\(number)")
                #expect(outcome.shellStatus == 128 + number, "signal \(number)")
                // A shell looks whether these ended what it waits for; cgrun's own core file would help nobody.
                let isOfKey = number == Signal.interrupt.rawValue || number == Signal.quit.rawValue
                #expect((outcome.exitCode == nil) == isOfKey && outcome.status != .signaled(.quit, coreDumped: true))
                #expect(outcome.errors.hasPrefix("cgrun: cgrun-probe "), "signal \(number)")
                #expect(outcome.errors.filter { $0 == "\n" }.count == 1, "signal \(number)")
            }
            try harness.expectNothingLeft()
        }

        /// Nobody explains what the command itself meant.
        @Test func aFailureOfTheCommandIsItsOwnToExplain() throws {
            let outcome = try harness.cgrun("--", Programs.probe, "exit", "3")
            #expect(outcome.errors.isEmpty)
            #expect(outcome.output.isEmpty)
            try harness.expectNothingLeft()
        }

        @Test func aTimeoutIs124() throws {
            let outcome = try harness.cgrun("--timeout", "100ms", "--kill-after", "0", "--", Programs.probe, "deaf")
            #expect(outcome.exitCode == 124)
            #expect(outcome.errors.contains(text: "--timeout 100ms"))
            try harness.expectNothingLeft()
        }

        @Test func aRefusalIs125() throws {
            #expect(try harness.cgrun("--mem", "2MB", "true").exitCode == 125)
            #expect(try harness.cgrun().exitCode == 125)
            try harness.expectNothingLeft()
        }

        @Test func whatCannotBeExecutedIs126() throws {
            let file = try harness.writeFile("text", "no program\n")
            for command in [file, "/", harness.path(".")] {
                let outcome = try harness.cgrun("--", command)
                #expect(outcome.exitCode == 126)
                #expect(outcome.errors == "cgrun: \(command): cannot execute: Permission denied\n")
            }
            try harness.expectNothingLeft()
        }

        @Test func whatIsNotThereIs127() throws {
            for command in ["/no/such/program", "no-such-program-anywhere", harness.path("missing")] {
                let outcome = try harness.cgrun("--", command)
                #expect(outcome.exitCode == 127)
                #expect(outcome.errors == "cgrun: \(command): command not found\n")
            }
            try harness.expectNothingLeft()
        }

        /// As execvp has it.
        @Test func aScriptWithoutAnInterpreterIsTheShells() throws {
            let script = try harness.writeFile("script", "echo \"$# $1\"; exit 9\n")
            #expect(try harness.start(["chmod", "+x", script]).end().exitCode == 0)
            let outcome = try harness.cgrun("--", script, "a b", "c")
            #expect(outcome.output == "2 a b\n")
            #expect(outcome.exitCode == 9)
            try harness.expectNothingLeft()
        }

        /// A file that may not be executed is passed over for one that may, further down the PATH.
        @Test func theSearchGoesOnAsInAShell() throws {
            let setup = """
                mkdir -p a b; printf '#!/bin/sh\\necho found\\n' > b/tool; cp b/tool a/tool
                chmod 644 a/tool; chmod 755 b/tool
                """
            let shell = try harness.start(["sh", "-c", "cd \(harness.path(".")) && { \(setup)\n}"]).end()
            #expect(shell.exitCode == 0)
            let path = "PATH=" + harness.path("a") + ":" + harness.path("b")
            #expect(try harness.cgrun("-E", path, "tool").output == "found\n")
            #expect(try harness.cgrun("-E", "PATH=" + harness.path("a"), "tool").exitCode == 126)
            try harness.expectNothingLeft()
        }
    }
}
