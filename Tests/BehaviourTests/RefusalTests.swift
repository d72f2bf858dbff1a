import CgroupSandbox
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// A job that cannot be contained as asked for does not run, and the reason names the remedy.
    @Suite struct Refusal {
        let harness: Harness

        init() throws { harness = try Harness() }

        private func expectRefusal(
            _ outcome: Outcome, _ parts: String..., location: SourceLocation = #_sourceLocation
        ) {
            #expect(outcome.exitCode == 125, "\(outcome)", sourceLocation: location)
            #expect(outcome.output == "", "the command did not run", sourceLocation: location)
            let lines = outcome.errors.split(separator: "\n")
            #expect(lines.count == 1, "\(outcome.errors)", sourceLocation: location)
            for part in parts {
                #expect(outcome.errors.contains(text: part), "\(outcome.errors)", sourceLocation: location)
            }
        }

        /// However few descriptors there are, they are what is missing.
        @Test func wantOfDescriptorsIsTold() throws {
            var codes: Set<Int?> = []
            for count in 4...60 where count < 10 || count % 10 == 0 {
                let script = "ulimit -n \(count); exec \(Programs.cgrun) -- true"
                let outcome = try harness.start(["sh", "-c", script]).end()
                codes.insert(outcome.exitCode)
                let isTold = outcome.errors.contains(text: "oo many open files")
                #expect(outcome.exitCode == 125 ? isTold : outcome.errors == "", "\(count): \(outcome)")
            }
            #expect(codes == [0, 125])
            try harness.expectNothingLeft()
        }

        @Test func missingGuard() throws {
            let gone = try harness.cgrun("--", "echo", "ran", environment: ["CGRUN_GUARD": "/nonexistent/guard"])
            expectRefusal(gone, "cannot start the guard", "/nonexistent/guard", "set CGRUN_GUARD")
            let file = try harness.writeFile("guard", "not a program")
            expectRefusal(
                try harness.cgrun("--", "echo", "ran", environment: ["CGRUN_GUARD": file]), "Permission denied")
            try harness.expectNothingLeft()
        }

        /// Whatever the names hold that are told.
        @Test func aRefusalIsOneLineOfText() throws {
            for words in [["--", "/no/such\ncom\rmand\u{1B}[31m"], ["-C", "/no/such\n\u{9B}31m", "--", "true"]] {
                let outcome = try harness.startCgrun(words).end()
                #expect(outcome.exitCode ?? 0 >= 125 && outcome.output == "")
                #expect(outcome.errors.unicodeScalars.filter { $0.value < 0x20 || 0x7F..<0xA0 ~= $0.value } == ["\n"])
                #expect(outcome.errors.contains(text: #"/no/such\n"#), "\(outcome.errors)")
            }
        }

        @Test func guardIsFoundInLibexec() throws {
            let script = """
                mkdir -p \(harness.path("bin")) \(harness.path("libexec/cgrun"))
                cp \(Programs.cgrun) \(harness.path("bin"))
                cp \(Programs.guardian) \(harness.path("libexec/cgrun"))
                \(harness.path("bin/cgrun")) -- echo ran
                """
            let outcome = try harness.start(["sh", "-c", script]).end()
            #expect(outcome.output == "ran\n", "\(outcome.errors)")
        }

        @Test func unknownParent() throws {
            expectRefusal(
                try harness.cgrun("--cgroup-parent", "/no/such/cgroup", "--", "echo", "ran"),
                "there is no cgroup", "/no/such/cgroup")
        }

        @Test(.enabled(if: !Capability.isBooted, "booted with systemd"))
        func systemdManagerIsNotReplacedInSilence() throws {
            for options in [
                ["--cgroup-manager", "systemd"], ["--slice", "x"], ["--unit", "x"], ["-p", "IOWeight=5"],
            ] {
                expectRefusal(
                    try harness.startCgrun(options + ["--", "echo", "ran"]).end(), "not booted with systemd",
                    "use --cgroup-manager cgroupfs")
            }
        }

        @Test(.enabled(if: Capability.isRoot, "needs root to remount"))
        func readOnlyCgroupFilesystem() throws {
            // All of them: on hybrid machines each hierarchy is a mount of its own.
            let remount = """
                for mount in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do
                    mount -o remount,bind,ro $mount || exit 77
                done
                \(Programs.cgrun) -- echo ran
                """
            let outcome = try harness.start(["unshare", "--mount", "sh", "-c", remount]).end()
            expectRefusal(outcome, "mounted read-only", "writable cgroup filesystem")
        }

        @Test(.enabled(if: Capability.isRoot, "needs root to mount"))
        func noCgroupFilesystem() throws {
            let hide = "mount -t tmpfs none /sys/fs/cgroup && \(Programs.cgrun) -- echo ran"
            let outcome = try harness.start(["unshare", "--mount", "sh", "-c", hide]).end()
            expectRefusal(outcome, "no cgroup v2 hierarchy is mounted", "mount cgroup2")
        }

        @Test(
            .enabled(
                if: Capability.isRoot && !Capability.usesSystemd, "needs root to become somebody without a manager"))
        func cgroupOfSomebodyElse() throws {
            let outcome = try asNobody("\(Programs.cgrun) -- echo ran")
            expectRefusal(outcome, "no permission to make cgroups", "Delegate=yes")
        }

        @Test(.enabled(if: Capability.isUnified && !Capability.has("--mem"), "the memory controller is here"))
        func missingController() throws {
            expectRefusal(
                try harness.cgrun("--mem", "64M", "--", "echo", "ran"), "--mem needs the memory controller",
                "cgroup.subtree_control")
        }

        @Test(.enabled(if: Capability.isHybrid, "only cgroup v1 cannot enforce it"))
        func whatV1CannotDo() throws {
            expectRefusal(
                try harness.cgrun("--mem-high", "64M", "--", "echo", "ran"),
                "--mem-high cannot be enforced by cgroup v1",
                "systemd.unified_cgroup_hierarchy=1")
            expectRefusal(try harness.cgrun("--swap", "64M", "--", "echo", "ran"), "--swap", "limit memory, too")
        }

        @Test(.enabled(if: Capability.isHybrid && Capability.isRoot, "only where v1 limits"))
        func v1WithoutRights() throws {
            // The unified hierarchy is handed over, the v1 ones are not.
            try harness.withDelegatedCgroup(legacy: false) { enter in
                let plain = try asNobody("\(enter); exec \(Programs.cgrun) -- echo ran")
                #expect(plain.output == "ran\n", "\(plain.errors)")
                expectRefusal(
                    try asNobody("\(enter); exec \(Programs.cgrun) --mem 64M -- echo ran"),
                    "--mem needs a child group of the v1 memory hierarchy", "run as root")
            }
        }

        @Test(.enabled(if: Capability.isRoot && !Capability.usesSystemd, "needs root to hand a cgroup over"))
        func ordinaryUserWithADelegatedCgroup() throws {
            try harness.withDelegatedCgroup(legacy: true) { enter in
                let options = Capability.has("--mem") && Capability.has("--pids") ? "--mem 64M --pids 32" : ""
                let outcome = try asNobody("\(enter); exec \(Programs.cgrun) \(options) -- \(Programs.probe) plant 3")
                #expect(outcome.output == "planted 3\n", "\(outcome.errors)")
                #expect(outcome.exitCode == 0)
            }
            // Another one: with limits, cgrun has made the first an inner node, which takes no processes.
            try harness.withDelegatedCgroup(legacy: true) { enter in
                let options = Capability.has("--mem") && Capability.has("--pids") ? "--mem 64M --pids 32" : ""
                let killed = try harness.start(
                    [
                        "setpriv", "--reuid", "65534", "--clear-groups", "sh", "-c",
                        "\(enter); exec \(Programs.cgrun) \(options) -- \(Programs.probe) tree 3",
                    ])
                try killed.waitForOutput("planted")
                killed.send(.kill)
                _ = try killed.end()
                try eventually("left: \(harness.marker.survivors)") { harness.marker.survivors.isEmpty }
            }
            try harness.expectNothingLeft()
        }

        private func asNobody(_ script: String) throws -> Outcome {
            try harness.start(["setpriv", "--reuid", "65534", "--clear-groups", "sh", "-c", script]).end()
        }
    }
}
