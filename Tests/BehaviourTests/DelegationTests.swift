import CgroupSandbox
import LinuxSystem
import TestSupport
import Testing

/// An option with a value, and what the job's cgroup says of it then.
private struct Setting {
    var option: String
    var value: String
    var file: String
    var content: String

    /// Those that can be enforced here.
    static var all: [Setting] {
        [
            Setting(option: "--pids", value: "20", file: "pids.max", content: "20"),
            Setting(option: "--cpu", value: "0.5", file: "cpu.max", content: "50000 100000"),
            Setting(option: "--cpu-weight", value: "50", file: "cpu.weight", content: "50"),
            Setting(option: "--cpuset", value: "0", file: "cpuset.cpus", content: "0"),
            Setting(option: "--mem", value: "64M", file: "memory.max", content: "67108864"),
            Setting(option: "--mem-high", value: "32M", file: "memory.high", content: "33554432"),
            Setting(option: "--swap", value: "16M", file: "memory.swap.max", content: "16777216"),
            Setting(
                option: "--io-max", value: "/var/tmp:wiops=1000", file: "io.max",
                content: "\(Capability.disk ?? "") rbps=max wbps=max riops=max wiops=1000"),
        ].filter { $0.option == "--io-max" ? Capability.hasIOMax : Capability.has($0.option) }
    }

    /// Each alone and each pair.
    static var combinations: [[Setting]] {
        all.map { [$0] }
            + all.indices.flatMap { first in all[(first + 1)...].map { [all[first], $0] } }
    }
}

extension Behaviour {
    /// Limits where cgrun has to pass controllers on itself: in units that were handed over to it, containers and jobs.
    @Suite(
        .enabled(
            if: Capability.isUnified && Capability.isBooted && Capability.has("--pids") && Capability.mayMakeCgroups,
            "needs the controllers of cgroup v2, and systemd"))
    struct Delegation {
        let harness: Harness

        init() throws { harness = try Harness() }

        // MARK: Parts

        /// A shell's words for a cgrun that makes a directory, with a job that says what became of its limits.
        private func job(_ settings: [Setting]) -> String {
            let options = settings.map { "\($0.option) \($0.value)" }.joined(separator: " ")
            let files = (["cgroup.type"] + settings.map(\.file)).map { "$c/\($0)" }.joined(separator: " ")
            return "\(Programs.cgrun) --cgroup-manager cgroupfs \(options) -- "
                + "sh -c '\(Self.own); cat \(files)'"
        }

        private func expected(_ settings: [Setting]) -> String {
            (["domain"] + settings.map(\.content)).map { $0 + "\n" }.joined()
        }

        /// A shell's words for its own cgroup, and for what kind that is, out of the leaf that cgrun moved it to.
        private static let own = "read c < /proc/self/cgroup; c=${c#0::}; c=/sys/fs/cgroup${c%/cgrun-leaf}"
        private static let ownType = "\(own); cat $c/cgroup.type"

        /// Runs a script in a service of its own, of the manager that this test's user has.
        private func service(_ script: String, delegate: Bool = true) throws -> Outcome {
            // In a file: systemd would replace the shell's variables by its own.
            let file = try harness.writeFile("script", script)
            return try harness.start(
                ["systemd-run"] + (Capability.isRoot ? [] : ["--user"])
                    + ["--quiet", "--wait", "--pipe", "--collect", "-E", "CGRUN_GUARD=\(Programs.guardian)"]
                    + (delegate ? ["-p", "Delegate=yes"] : []) + ["sh", file]
            ).end()
        }

        /// Options that have a job hand every controller down, and limit nothing.
        private var unlimited: String {
            "--mem max --pids max --cpu max" + (Capability.has("--cpuset") ? " --cpuset 0" : "")
                + (Capability.hasIOMax ? " --io-max /var/tmp:rbps=max" : "")
        }

        // MARK: Places

        @Test(.enabled(if: !Capability.usesSystemd, "the same with the other manager"))
        func inADelegatedService() throws {
            for settings in Setting.combinations {
                let outcome = try service("\(job(settings)); \(Self.ownType)")
                #expect(outcome.output == expected(settings) + "domain\n", "\(settings): \(outcome)")
            }
            try harness.expectNothingLeft()
        }

        /// What one run leaves of its caller's cgroup, the next one has to live with.
        @Test(.enabled(if: !Capability.usesSystemd, "the same with the other manager"))
        func oneAfterTheOtherInADelegatedService() throws {
            let all = [[]] + Setting.combinations + [[]]
            let outcome = try service((all.map(job) + [Self.ownType]).joined(separator: "; "))
            #expect(outcome.output == all.map(expected).joined() + "domain\n", "\(outcome)")
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.isRoot && !Capability.usesSystemd, "needs root to mount"))
        func inAContainer() throws {
            for settings in Setting.combinations.prefix(10) {
                let inside = try harness.writeFile(
                    "container",
                    """
                    umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 77
                    \(job(settings))
                    cat /sys/fs/cgroup/cgroup.type
                    """)
                let outcome = try service("exec unshare --cgroup --mount sh \(inside)")
                #expect(outcome.output == expected(settings) + "domain\n", "\(settings): \(outcome)")
            }
            try harness.expectNothingLeft()
        }

        @Test func inAPool() throws {
            for settings in Setting.combinations {
                let outcome = try harness.start(
                    ["sh", "-c", "exec \(Programs.cgrun) \(unlimited) -- sh -c \"$0\"", job(settings)]
                ).end()
                #expect(outcome.output == expected(settings), "\(settings): \(outcome)")
            }
            try harness.expectNothingLeft()
        }

        @Test func inAPoolInAPool() throws {
            let pool = "\(Programs.cgrun) \(unlimited) --"
            for settings in Setting.combinations.prefix(10) {
                let outcome = try harness.start(
                    ["sh", "-c", "exec \(pool) \(pool) sh -c \"$0\"", job(settings)]
                ).end()
                #expect(outcome.output == expected(settings), "\(settings): \(outcome)")
            }
            try harness.expectNothingLeft()
        }

        /// The job around it was not asked for a controller: it has it all the same, as in a scope whose manager
        /// gave it, or the error says what would hand it down.
        @Test func whereOnlyTheInnermostAsks() throws {
            let remedies = [
                "--pids": "--pids max", "--cpu": "--cpu max", "--cpu-weight": "--cpu max", "--mem": "--mem max",
                "--mem-high": "--mem max", "--swap": "--mem max", "--cpuset": "--cpuset with all",
                "--io-max": "--io-max with a rate of max",
            ]
            for setting in Setting.all {
                let outcome = try harness.start(
                    ["sh", "-c", "exec \(Programs.cgrun) -- sh -c \"$0\"", job([setting])]
                ).end()
                guard outcome.exitCode != 0 else {
                    #expect(outcome.output == expected([setting]), "\(outcome)")
                    continue
                }
                let remedy = "give the job around this one \(remedies[setting.option] ?? "")"
                #expect(outcome.exitCode == 125 && outcome.errors.contains(text: remedy), "\(setting): \(outcome)")
            }
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.usesSystemd, "not asked to use systemd"))
        func inAScope() throws {
            for settings in Setting.combinations {
                let options = settings.flatMap { [$0.option, $0.value] }
                let files = settings.map { "$c/\($0.file)" }.joined(separator: " ")
                let script = "\(Self.own); cat $c/cgroup.type \(files)"
                let outcome = try harness.startCgrun(options + ["--", "sh", "-c", script]).end()
                #expect(outcome.output == expected(settings), "\(settings): \(outcome)")
            }
            try harness.expectNothingLeft()
        }

        // MARK: Refusals and repairs

        /// As a run of an earlier cgrun left it, or another program.
        @Test(.enabled(if: !Capability.usesSystemd, "the same with the other manager"))
        func aSpoiltCgroupIsPutRight() throws {
            let spoil = "\(Self.own); echo +pids > $c/cgroup.subtree_control; cat $c/cgroup.type"
            let check = "\(Programs.cgrun) check | grep -c '^job cgroup  *yes'"
            let outcome = try service("\(spoil); \(check); \(job([])); \(job([Setting.all[0]])); \(Self.ownType)")
            #expect(
                outcome.output == "domain threaded\n1\ndomain\n" + expected([Setting.all[0]]) + "domain\n",
                "\(outcome)")
        }

        /// Processes that are not cgrun's to move are in the way of every controller alike, and nothing is changed.
        @Test(.enabled(if: Capability.isRoot && !Capability.usesSystemd, "a user's units are all the user's own"))
        func aServiceThatIsNotDelegated() throws {
            for setting in Setting.all {
                let outcome = try service("\(job([setting])); \(Self.ownType)", delegate: false)
                #expect(outcome.output == "domain\n", "\(outcome)")
                #expect(outcome.errors.contains(text: "while other processes are in it"), "\(outcome)")
            }
            let check = "CGRUN_CGROUP_MANAGER=cgroupfs \(Programs.cgrun) check | grep -cE '^--(pids|cpu|mem) +no '"
            #expect(try service(check, delegate: false).output == "3\n")
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: !Capability.usesSystemd, "the same with the other manager"))
        func aDomainOfThreads() throws {
            let spread = "\(Self.own); mkdir $c/t; echo threaded > $c/t/cgroup.type"
            let outcome = try service("\(spread); \(job([])); \(job([Setting.all[0]])); rmdir $c/t")
            #expect(outcome.output == "", "\(outcome)")
            let lines = outcome.errors.split(separator: "\n")
            #expect(lines.count == 2, "\(outcome)")
            for line in lines { #expect(line.contains("is the domain of threaded cgroups"), "\(line)") }
            try harness.expectNothingLeft()
        }
    }
}
