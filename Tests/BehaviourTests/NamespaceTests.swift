import CgroupSandbox
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// Cgroup namespaces, in which paths begin elsewhere.
    @Suite struct Namespaces {
        let harness: Harness

        init() throws { harness = try Harness() }

        /// `unshare`, by whoever this is.
        private static let unshare = ["unshare"] + (Capability.isRoot ? [] : ["--user", "--map-root-user"])

        private static let mount = (Capability.isHybrid ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup")
        private static let freshMount = "umount \(mount) && mount -t cgroup2 cgroup2 \(mount)"

        /// A new namespace does not change what is mounted: the job around is to be found there all the same.
        @Test func withoutAMountOfTheirOwn() throws {
            let outer = try harness.startCgrun(
                ["--"] + Self.unshare + ["--cgroup", Programs.cgrun, "--verbose", "--", Programs.probe, "tree", "3"])
            try outer.waitForOutput("planted")
            #expect(outer.errors.contains(text: "inside the job cgrun-"), "\(outer.errors)")
            // Both launchers would end their own trees: only the outer cgroup.kill reaches the inner one now.
            let inner = harness.marker.survivors.filter { $0.command == "cgrun" || $0.command == "cgrun-guard" }
            for one in inner where one.pid != outer.pid { try? ProcessDescriptor(pid: one.pid).send(.stop) }
            outer.send(.kill)
            _ = try outer.end()
            try eventually("left: \(harness.marker.survivors)") {
                for one in harness.marker.guards { try? ProcessDescriptor(pid: one.pid).send(.continue) }
                return harness.marker.survivors.isEmpty
            }
            try harness.expectNothingLeft()
        }

        /// Nobody in a pid namespace notices the loss of a process outside.
        @Test(.enabled(if: Capability.isRoot, "needs a pid namespace"), .onRealMachines)
        func aParentOutsideOfIt() throws {
            let inside = ["unshare", "-pf", "--mount-proc", Programs.cgrun, "--cgroup-manager", "cgroupfs"]
            for option in [[], ["--dry-run"]] {
                let refused = try harness.start(inside + ["--die-with-parent"] + option + ["--", "true"]).end()
                #expect(refused.exitCode == 125 && refused.output == "")
                #expect(
                    refused.errors.contains(
                        text: "--die-with-parent: the process that started cgrun is outside this pid namespace"))
                #expect(refused.errors.contains(text: "unshare --kill-child"))
            }
            let outcome = try harness.start(inside + ["--verbose", "--report-fd", "1", "--", "true"]).end()
            #expect(outcome.exitCode == 0)
            #expect(outcome.errors.contains(text: "nobody notices the loss of a parent outside"), "\(outcome)")
            #expect(outcome.output.contains(text: "\"containment.layers: parent\""), "\(outcome)")
            let plan = try harness.start(inside + ["--dry-run", "--", "true"]).end()
            #expect(plan.lines.contains("start cgrun-guard, watching cgrun"), "\(plan)")
            // What cgrun can do is to be what ends the namespace.
            let killed = try harness.start(
                ["unshare", "-pf", "--kill-child", "--mount-proc"] + inside.dropFirst(3) + [
                    Programs.probe, "tree", "3",
                ])
            try killed.waitForOutput("planted")
            killed.send(.kill)
            _ = try killed.end()
            try eventually("left: \(harness.marker.survivors)") { harness.marker.survivors.isEmpty }
            _ = try harness.cgrun("sweep")
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.has("--pids"), "no pids controller for this caller"))
        func outerLimitsHold() throws {
            let outcome = try harness.startCgrun(
                ["--pids", "12", "--"] + Self.unshare + [
                    "--cgroup", Programs.cgrun, "--pids", "40", "--", Programs.probe, "processes", "24",
                ]
            ).end()
            let made = outcome.output.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? .max
            #expect(made < 12, "\(outcome)")
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.isRoot, "needs root to mount"))
        func withAMountOfTheirOwn() throws {
            // Nothing there tells that this is a job, nor of which manager.
            let script =
                "\(Self.freshMount) && exec env -u CGRUN_CGROUP_MANAGER \(Programs.cgrun) -- cat /proc/self/cgroup"
            let outcome = try harness.startCgrun(["--", "unshare", "--cgroup", "--mount", "sh", "-c", script]).end()
            #expect(outcome.lines.last?.hasPrefix("0::/cgrun-") == true, "\(outcome)")
            try harness.expectNothingLeft()
        }

        /// As container engines do where they make no namespace.
        @Test(.enabled(if: Capability.isRoot, "needs root to mount"))
        func aPartOfTheHierarchyMounted() throws {
            let script = """
                own=$(sed -n 's/^0:://p' /proc/self/cgroup)
                mount --bind \(Self.mount)$own \(Self.mount) && exec \(Programs.cgrun) --verbose -- cat /proc/self/cgroup
                """
            let outcome = try harness.startCgrun(["--", "unshare", "--mount", "sh", "-c", script]).end()
            #expect(outcome.lines.last?.split(separator: "/").suffix(2).allSatisfy { $0.hasPrefix("cgrun-") } == true)
            #expect(outcome.errors.contains(text: "mkdir \(Self.mount)/cgrun-"), "\(outcome)")
            try harness.expectNothingLeft()
        }

        /// Entered with `nsenter`, which takes nobody along into the cgroup.
        @Test(.enabled(if: Capability.isRoot, "needs root to enter namespaces"))
        func entered() throws {
            let script = "\(Self.freshMount) && echo $$ && exec sleep 1000"
            let container = try harness.startCgrun(["--", "unshare", "--cgroup", "--mount", "sh", "-c", script])
            try container.waitForOutput("\n")
            let pid = container.output.split(separator: "\n")[0]
            let enter = ["nsenter", "--target", "\(pid)", "--cgroup", "--mount", Programs.cgrun]
            let refused = try harness.start(enter + ["--cgroup-manager", "cgroupfs", "--", "echo", "ran"]).end()
            #expect(refused.exitCode == 125 && refused.output == "", "\(refused)")
            #expect(refused.errors.contains(text: "is not to be found below \(Self.mount)"), "\(refused)")
            #expect(refused.errors.split(separator: "\n").count == 1)
            // The way into the container's own root; with nsdelegate, the kernel lets nobody in from outside.
            let named = try harness.start(enter + ["--cgroup-parent", "/", "--", "cat", "/proc/self/cgroup"]).end()
            #expect(named.exitCode == 125 || named.lines.last?.hasPrefix("0::/cgrun-") == true, "\(named)")
            container.send(.terminate)
            _ = try container.end()
            try harness.expectNothingLeft()
        }

        /// The same where a manager needs no place of the caller's. The namespace begins with the slice that scopes
        /// are in, and the caller is beside it.
        @Test(
            .enabled(
                if: Capability.isRoot && Capability.usesSystemd && !Capability.has("--pids"),
                "needs systemd, and a slice that takes processes, as without controllers"))
        func enteredWhereSystemdReaches() throws {
            let beside = "\(Self.mount)/beside-\(harness.marker.text)"
            let script = "\(Self.freshMount) && echo $$ && exec sleep 1000"
            let container = try harness.start(
                [
                    "sh", "-c", "echo $$ > \(Self.mount)/system.slice/cgroup.procs && exec \"$@\"", "sh", "unshare",
                    "--cgroup", "--mount", "sh", "-c", script,
                ])
            try container.waitForOutput("\n")
            let pid = container.output.split(separator: "\n")[0]
            let outcome = try harness.start(
                [
                    "sh", "-c", "mkdir \(beside) && echo $$ > \(beside)/cgroup.procs && exec \"$@\"", "sh", "nsenter",
                    "--target", "\(pid)", "--cgroup", "--mount", Programs.cgrun, "--", "cat", "/proc/self/cgroup",
                ]
            ).end()
            container.send(.kill)
            _ = try container.end()
            #expect(try harness.start(["rmdir", beside]).end().exitCode == 0)
            #expect(outcome.lines.last?.hasPrefix("0::/cgrun-") == true, "\(outcome)")
            try harness.expectNothingLeft()
        }
    }
}
