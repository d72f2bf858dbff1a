import CgroupSandbox
import Glibc
import LinuxSystem
import TestSupport
import Testing

extension Behaviour {
    /// systemd writes what a scope is described with into the unit's file as it is, and reads that again at every
    /// `daemon-reload`.
    @Suite(.onRealMachines, .enabled(if: Capability.usesSystemd, "not booted with systemd, or not asked to use it"))
    struct TextOfScopes {
        let harness: Harness
        /// Starts once a unit has it for `OnSuccess=` or `OnFailure=`, and leaves a file then.
        let trap: TrapUnit

        init() throws {
            harness = try Harness()
            trap = try TrapUnit(harness)
        }

        /// A unit that nobody starts.
        final class TrapUnit {
            let name: String
            private let file: String
            private let sprung: String

            init(_ harness: Harness) throws {
                name = "trap-\(harness.marker.text).service"
                sprung = harness.path("sprung")
                let directory =
                    Capability.isRoot
                    ? "/run/systemd/system" : "/run/user/\(ThisProcess.effectiveUserID)/systemd/user"
                file = "\(directory)/\(name)"
                mkdir(directory, 0o755)
                try Descriptor(opening: file, O_WRONLY | O_CREAT, mode: 0o644).write(
                    "[Service]\nType=oneshot\nExecStart=touch \(sprung)\n", path: file)
            }

            var hasSprung: Bool { access(sprung, F_OK) == 0 }

            deinit { unlink(file) }
        }

        private static let script = "echo ready; cat; exit 7"

        /// What is behind `cgrun` in the command line, and in the description. `TRAP` stands for the unit.
        private static let commands: [(words: [String], shown: String)] = [
            (
                ["sh", "-c", script, "evil\nOnSuccess=TRAP\nOnFailure=TRAP\n"],
                #"sh -c \#(script) evil\nOnSuccess=TRAP\nOnFailure=TRAP\n"#
            ),
            (
                ["sh", "-c", script, "evil\rOnSuccess=TRAP\rOnFailure=TRAP"],
                #"sh -c \#(script) evil\rOnSuccess=TRAP\rOnFailure=TRAP"#
            ),
            (["sh", "-c", "echo ready\ncat\nexit 7"], #"sh -c echo ready\ncat\nexit 7"#),
            (["sh", "-c", script, #"C:\new\"#], #"sh -c \#(script) C:\new\\"#),
            (["sh", "-c", script, #"two\\"#], #"sh -c \#(script) two\\"#),
            (["sh", "-c", script, "\\\n[Scope]"], #"sh -c \#(script) \\n[Scope]"#),
            // The cut comes after the first of many.
            (
                ["sh", "-c", script, String(repeating: "x", count: 169) + String(repeating: "\\", count: 10)],
                #"sh -c \#(script) "# + String(repeating: "x", count: 169) + #"\\"#
            ),
            (["sh", "-c", script, "%n %% %"], #"sh -c \#(script) %n %% %"#),
            (["sh", "-c", script, "\u{1B}[31m\tred\u{7F}\u{85}"], #"sh -c \#(script) \x1b[31m\tred\x7f\x85"#),
            (["sh", "-c", script, "  blanks  "], #"sh -c \#(script)   blanks"#),
            (
                ["sh", "-c", script, "é 日本 \(Unicode.Scalar(0xFFFE as UInt32)!) \u{2028}"],
                #"sh -c \#(script) é 日本 \ufffe \u2028"#
            ),
            (["sh", "-c", script, "\"'#;$HOME="], #"sh -c \#(script) "'#;$HOME="#),
        ]

        @Test(arguments: commands.indices) func argumentsStayText(_ index: Int) throws {
            let (words, shown) = Self.commands[index]
            func named(_ text: String) -> String {
                text.split(separator: "TRAP", omittingEmptySubsequences: false).joined(separator: trap.name)
            }
            try expectToSurviveAReload(words.map(named), "cgrun " + named(shown))
        }

        private func expectToSurviveAReload(_ words: [String], _ description: String) throws {
            let unit = "text-\(harness.marker.text)"
            let properties = ["BindsTo", "After", "Description", "OnSuccess", "OnFailure"].flatMap { ["-p", $0] }
            func shown() throws -> [String] {
                let manager = Capability.isRoot ? [] : ["--user"]
                return try harness.start(["systemctl"] + manager + ["show", unit + ".scope"] + properties).end().lines
                    .map { line in
                        // In no particular order.
                        line.hasPrefix("After=")
                            ? "After=" + line.dropFirst(6).split(separator: " ").sorted().joined(separator: " ") : line
                    }
            }
            var input: Pipe? = try Pipe()
            let job = try harness.start(
                [Programs.cgrun, "--unit", unit, "--"] + words,
                standardInput: input?.reading.descriptor.rawValue)
            try job.waitForOutput("ready")
            let before = try shown()
            #expect(before.contains("Description=" + description), "\(before)")
            for _ in 0..<2 {
                try harness.systemctl("daemon-reload")
                let after = try shown()
                #expect(after == before)
                #expect(after.contains("BindsTo=\(unit)-guard.scope"), "\(after)")
                #expect(
                    after.contains { $0.hasPrefix("After=") && $0.contains(text: "\(unit)-guard.scope") }, "\(after)")
                #expect(after.contains("OnSuccess=") && after.contains("OnFailure="), "\(after)")
            }
            #expect(!job.hasEnded)
            try input?.writing.descriptor.write("typed", path: "input")
            try job.waitForOutput("typed")
            input = nil
            #expect(try job.end().exitCode == 7)
            try harness.expectNothingLeft()
            try harness.expectNoUnit()
            #expect(!trap.hasSprung)
        }

        @Test(arguments: [
            ["--description", "a\nOnSuccess=x.service"], ["--description", "a\r\nb"], ["--description", "a\\"],
            ["--description", " a"], ["--unit", "a\nb"], ["--slice", "a\nb"],
            ["-p", "SourcePath=/a\nOnSuccess=x.service"],
            ["-p", "Documentation=man:a\nOnSuccess=x.service"], ["-p", "After=a.service\nOnSuccess=x.service"],
        ])
        func whatIsGivenIsRefused(_ options: [String]) throws {
            let outcome = try harness.startCgrun(options + ["--", "echo", "ran"]).end()
            #expect(outcome.exitCode == 125)
            #expect(outcome.output == "")
            #expect(outcome.errors.split(whereSeparator: \.isNewline).count == 1, "\(outcome.errors)")
            #expect(outcome.errors.contains(text: ": expected "), "\(outcome.errors)")
            try harness.expectNothingLeft()
        }

        @Test func whatIsShownIsWhatIsAskedFor() throws {
            let plan = try harness.cgrun("--dry-run", "--", "true", "a\nb\\")
            #expect(plan.output.contains(text: #"Description="cgrun true a\nb\\" "#), "\(plan.output)")
        }
    }
}
