import CgroupSandbox
import Glibc
import LinuxSystem
import TestSupport
import Testing

extension Behaviour {
    /// Every flag does something that can be seen.
    @Suite struct CommandLineOptions {
        let harness: Harness

        init() throws { harness = try Harness() }

        private func output(_ arguments: String...) throws -> String {
            let outcome = try harness.startCgrun(arguments).end()
            #expect(outcome.exitCode == 0, "\(arguments): \(outcome.errors)")
            return outcome.output
        }

        // MARK: Surroundings

        @Test func setenv() throws {
            #expect(try output("-E", "A=b c", "--setenv=D=$HOME", "sh", "-c", "echo \"$A|$D\"") == "b c|$HOME\n")
            let kept = try harness.cgrun(
                "-E", "KEPT", "-E", "OTHER=", "sh", "-c", "echo \"$KEPT|${OTHER-unset}\"",
                environment: ["KEPT": "yes", "OTHER": "no"])
            #expect(kept.output == "yes|\n")
            try harness.expectNothingLeft()
        }

        @Test func environmentIsInherited() throws {
            let outcome = try harness.cgrun("sh", "-c", "echo $INHERITED", environment: ["INHERITED": "a b"])
            #expect(outcome.output == "a b\n")
            try harness.expectNothingLeft()
        }

        @Test func workingDirectory() throws {
            #expect(try output("-C", "/usr", "pwd") == "/usr\n")
            #expect(try output("-C/", "--", "pwd") == "/\n")
            let refused = try harness.cgrun("-C", "/no/such/directory", "true")
            #expect(refused.exitCode == 125)
            #expect(refused.errors.hasPrefix("cgrun: --working-directory: "))
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.isRoot, "only root may change users"))
        func users() throws {
            let identity = "echo $(id -u) $(id -g) $(id -G)"
            #expect(try output("--uid", "65534", "--gid", "65533", "sh", "-c", identity) == "65534 65533 65533\n")
            #expect(try output("--gid", "65533", "sh", "-c", identity) == "0 65533 65533\n")
            #expect(try output("--uid", "root", "sh", "-c", "id -u") == "0\n")
            let report = try harness.reported("--uid", "65534", "--gid", "65534", "true").report
            #expect(report.uid == 65534)
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: !Capability.isRoot, "root may change users"))
        func usersAreRootsBusiness() throws {
            let outcome = try harness.cgrun("--uid", "0", "--gid", "0", "true")
            #expect(outcome.exitCode == 125)
            #expect(outcome.errors.contains(text: "only root may change users"))
            try harness.expectNothingLeft()
        }

        /// Nothing is a shell's business but a shell's.
        @Test func wordsAreTakenAsTheyAre() throws {
            #expect(try output("printf", "%s|", "$HOME", "a  b", "*", "", "\\n", "--mem") == "$HOME|a  b|*||\\n|--mem|")
            try harness.expectNothingLeft()
        }

        // MARK: Cgroups

        @Test(.enabled(if: Capability.mayMakeCgroups, "no cgroups for this caller"))
        func cgroupParent() throws {
            let mount = Capability.isHybrid ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup"
            let own = try #require(TestCgroups.own.first)
            let parent = own + "/parent-" + harness.marker.text
            try #require(mkdir(parent, 0o755) == 0)
            defer { rmdir(parent) }
            for spelling in [parent, String(parent.dropFirst(mount.count))] {
                let report = try harness.reported("--cgroup-parent", spelling, "true").report
                #expect(report.containment.cgroup == "\(parent)/cgrun-\(report.jobID)")
            }
            try harness.expectNothingLeft()
        }

        // MARK: What cgrun tells

        @Test func quiet() throws {
            let loud = try harness.cgrun("--", Programs.probe, "die", "15")
            #expect(loud.errors.filter { $0 == "\n" }.count == 1)
            for flag in ["-q", "--quiet"] {
                let outcome = try harness.cgrun(flag, "--", Programs.probe, "die", "15")
                #expect(outcome.errors == "")
                #expect(outcome.exitCode == 143)
            }
            // Its own failures are not the job's death.
            #expect(try harness.cgrun("-q", "--", "/no/such/program").errors.hasPrefix("cgrun: /no/such/program"))
            try harness.expectNothingLeft()
        }

        @Test func verbose() throws {
            let errors = try harness.cgrun("--verbose", "--", Programs.probe, "plant", "1").errors
            #expect(errors.contains(text: "cgrun: cgroup /sys/fs/cgroup"))
            #expect(
                errors.contains(text: Capability.usesSystemd ? "cgrun: mkdir cgrun-" : "cgrun: mkdir /sys/fs/cgroup"))
            #expect(errors.contains(text: "cgrun: command has pid "))
            #expect(errors.contains(text: "1 left behind and killed"))
            #expect(errors.split(separator: "\n").allSatisfy { $0.hasPrefix("cgrun: ") })
            try harness.expectNothingLeft()
        }

        @Test func dryRunDoesNothing() throws {
            let mark = harness.path("ran")
            let plan = try output(
                "--dry-run", "--timeout", "90s", "--kill-after", "2s", "--stop-signal", "INT", "-C", "/", "--report",
                harness.path("report"), "--", "touch", mark, "it's")
            #expect(plan.hasPrefix("manager " + (Capability.usesSystemd ? "systemd" : "cgroupfs") + " ("))
            #expect(plan.contains(text: Capability.usesSystemd ? "\nask systemd at " : "\nmkdir /sys/fs/cgroup"))
            #expect(plan.contains(text: "\nstart cgrun-guard, watching cgrun and pid "))
            #expect(plan.contains(text: "\nchdir /\n"))
            #expect(plan.contains(text: "\nexec touch \(mark) 'it'\\''s'\n"))
            #expect(plan.contains(text: "after 90.0s: SIGINT to every process, 2.0s later cgroup.kill"))
            #expect(access(mark, F_OK) != 0 && access(harness.path("report"), F_OK) != 0)
            let alone = try output("--dry-run", "--no-die-with-parent", "true")
            #expect(alone.contains(text: "start cgrun-guard, watching cgrun\n"))
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.has("--mem") && Capability.has("--pids"), "no memory or pids controller"))
        func dryRunPrintsTheLimits() throws {
            let plan = try output("--dry-run", "--mem", "64M", "--pids", "32", "true")
            let place = Capability.usesSystemd ? "cgrun-" : "/sys/fs/cgroup"
            #expect(plan.contains(text: "write 67108864 > \(place)"))
            #expect(plan.contains(text: "write 32 > \(place)"))
            #expect(plan.contains(text: "/pids.max\n"))
            try harness.expectNothingLeft()
        }

        /// How much that is, the machine says where the job or the unit is started.
        @Test(.enabled(if: Capability.has("--mem"), "no memory controller"))
        func aShareOfRAMStaysOne() throws {
            let plan = try output("--dry-run", "--mem", "50%", "true")
            let write = try #require(plan.split(separator: "\n").first { $0.hasSuffix(" (50% of RAM)") }, "\(plan)")
            let bytes = write.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }
            #expect(bytes == Machine.memoryBytes / 2, "\(write)")
            let unit = try output("unit", "service", "x", "--mem", "50%", "--mem-high", "12.5%", "--", "/bin/true")
            #expect(unit.contains(text: "\nMemoryMax=50%\n") && unit.contains(text: "\nMemoryHigh=12.5%\n"))
        }

        // MARK: Subcommands

        @Test func run() throws {
            #expect(try output("run", "--", "echo", "run") == "run\n")
            #expect(try output("run", "-q", "echo", "sweep") == "sweep\n")
            #expect(try output("--", "echo") == "\n")
            try harness.expectNothingLeft()
        }

        @Test func versionAndHelp() throws {
            let version = try output("--version").split(separator: ".")
            #expect(version.count == 3)
            for words in [
                ["--help"], ["-h"], ["help"], ["run", "--help"], ["help", "run"], ["--mem", "5", "--help"],
            ] {
                let help = try harness.startCgrun(words).end()
                #expect(help.exitCode == 0, "\(words)")
                #expect(help.output.contains(text: "USAGE: cgrun"), "\(words)")
                #expect(help.output.contains(text: "--kill-after <duration>"), "\(words)")
                #expect(help.errors == "", "\(words)")
            }
            #expect(try output("sweep", "--help").contains(text: "--dry-run"))
            #expect(try output("check", "--help").contains(text: "--json"))
            try harness.expectNothingLeft()
        }

        @Test(arguments: ["bash", "zsh", "fish"]) func completions(_ shell: String) throws {
            let script = try output("--generate-completion-script", shell)
            #expect(script.contains(text: "cgrun"))
            for name in ["mem", "kill-after", "no-die-with-parent", "sweep", "check"] {
                #expect(script.contains(text: name), "\(name)")
            }
            try harness.expectNothingLeft()
        }

        /// Only told, never done: other people's leftovers are not this test's.
        @Test func sweepTellsWhatItWouldDo() throws {
            let outcome = try harness.cgrun("sweep", "--dry-run")
            #expect(outcome.exitCode == 0)
            #expect(outcome.lines.allSatisfy { $0 == "nothing to sweep" || $0.hasPrefix("would remove: ") })
            #expect(!outcome.lines.isEmpty)
            try harness.expectNothingLeft()
        }

        @Test func check() throws {
            let table = try harness.cgrun("check")
            #expect(table.exitCode == (Capability.has("job cgroup") ? 0 : 1))
            for subject in ["cgroups ", "job cgroup ", "guard ", "--mem ", "--pids ", "--cpu ", "--cpuset "] {
                #expect(table.lines.contains { $0.hasPrefix(subject) }, "\(subject)")
            }
            let json = try harness.cgrun("check", "--json")
            #expect(json.exitCode == table.exitCode)
            #expect(json.output.hasPrefix("[") && json.output.hasSuffix("]\n"))
            for key in ["subject", "available", "detail"] { #expect(json.output.contains(text: "\"\(key)\" : ")) }
            try harness.expectNothingLeft()
        }

        /// That there is such a program says nothing.
        @Test func checkStartsTheGuard() throws {
            let check = try harness.cgrun("check", environment: ["CGRUN_GUARD": "/bin/false"])
            #expect(check.exitCode == 1)
            let line = try #require(check.lines.first { $0.hasPrefix("guard ") })
            #expect(line.contains(text: " no ") && line.contains(text: "/bin/false may be no guard"), "\(line)")
            #expect(check.output.contains(text: "→ set CGRUN_GUARD"))
            try harness.expectNothingLeft()
        }

        // MARK: Refusals

        static let refusals: [([String], String)] = [
            ([], "no command given"), (["--"], "no command given"), (["run"], "no command given"),
            (["--mem", "64M"], "no command given"), ([""], "no command given"),
            (["--bogus", "true"], "--bogus"), (["--bogus=3", "true"], "--bogus"), (["-Z", "true"], "-Z"),
            (["run", "--bogus", "true"], "--bogus"), (["sweep", "--bogus"], "--bogus"), (["check", "x"], "x"),
            (["--mem"], "--mem"), (["--quiet=1", "true"], "--quiet"), (["-E"], "-E"),
            (["--mem", "2MB", "true"], "--mem 2MB: expected bytes"), (["--mem=", "true"], "--mem "),
            (["--pids", "0", "true"], "--pids 0: expected"), (["--timeout", "5", "true"], "--timeout 5: expected"),
            (["--cpu", "-1", "true"], "--cpu -1: expected"), (["--cpuset", "x", "true"], "--cpuset x: expected"),
            (["--stop-signal", "FOO", "true"], "--stop-signal FOO: expected"),
            (["--kill-after", "-1s", "true"], "--kill-after -1s: expected"),
            (["--cgroup-manager", "x", "true"], "--cgroup-manager x: expected"),
            (["--cgroup-parent", "../x", "true"], "--cgroup-parent ../x: expected"),
            (["--report-fd", "99", "true"], "--report-fd 99: expected"),
            (["-E", "=x", "true"], "--setenv =x: expected"),
            (["--uid", "no-such-user", "true"], "--uid no-such-user: expected"),
            (["--gid", "no-such-group", "true"], "--gid no-such-group: expected"),
            (["--report", "/no/such/directory/x", "true"], "--report /no/such/directory/x: "),
            (["--report", "/", "true"], "--report /: "),
        ]

        @Test(.onRealMachines, arguments: refusals) func areOneLine(_ arguments: [String], _ text: String) throws {
            let outcome = try harness.startCgrun(arguments).end()
            #expect(outcome.exitCode == 125)
            #expect(outcome.output == "")
            #expect(outcome.errors.hasPrefix("cgrun: ") && outcome.errors.hasSuffix("\n"))
            #expect(outcome.errors.filter { $0 == "\n" }.count == 1)
            #expect(outcome.errors.contains(text: text), "\(outcome.errors)")
            #expect(!outcome.errors.contains(text: "UsageError("), "\(outcome.errors)")
            try harness.expectNothingLeft()
        }
    }
}
