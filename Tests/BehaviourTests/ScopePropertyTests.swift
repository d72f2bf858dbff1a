import CgroupSandbox
import LinuxSystem
import TestSupport
import Testing

extension Behaviour {
    /// systemd takes properties that have no effect, and says nothing.
    @Suite(.enabled(if: Capability.usesSystemd, "not booted with systemd, or not asked to use it"))
    struct ScopeProperties {
        let harness: Harness

        init() throws { harness = try Harness() }

        private func isThere(_ controller: String) throws -> Bool {
            let show = "cat /sys/fs/cgroup$(grep ^0:: /proc/self/cgroup | cut -d: -f3)/../cgroup.controllers"
            let outcome = try harness.cgrun("--quiet", "--", "sh", "-c", show)
            try #require(outcome.exitCode == 0, "\(outcome)")
            return outcome.output.split { $0 == " " || $0 == "\n" }.contains(Substring(controller))
        }

        @Test(arguments: [
            ("io", "IOWeight=50"), ("io", "StartupIOWeight=50"), ("io", "IOAccounting=yes"),
            ("cpu", "StartupCPUWeight=50"),
            ("memory", "MemoryLow=4M"), ("memory", "MemoryMin=5000"), ("memory", "MemoryAccounting=yes"),
            ("pids", "TasksAccounting=yes"),
        ])
        func whatHasNoEffectIsRefused(_ controller: String, _ property: String) throws {
            let unit = "p-\(harness.marker.text)"
            let outcome = try harness.cgrun("--unit", unit, "-p", property, "--", "true")
            let name = property.prefix { $0 != "=" }
            if outcome.exitCode != 0 {
                #expect(outcome.exitCode == 125 && outcome.output == "")
                // A kernel may have the controller, and no weights (CONFIG_BLK_CGROUP_IOCOST, BFQ).
                let reason = "--property \(name) needs "
                #expect(outcome.errors.hasPrefix("cgrun: \(reason)"), "\(outcome)")
                #expect(
                    outcome.errors.contains(text: "needs the \(controller) controller, which ")
                        || outcome.errors.contains(text: ", which this kernel does not offer here"), "\(outcome)")
            }
            if ["memory", "pids"].contains(controller), try isThere(controller) {
                #expect(outcome.exitCode == 0, "\(outcome)")
            }
            try harness.expectNothingLeft()
            try harness.expectNoUnit()
        }

        @Test(
            .enabled(if: !Capability.isRoot, "root's manager can enforce them"),
            arguments: ["DevicePolicy=closed", "IPAccounting=yes"])
        func whatAUsersManagerCannotDo(_ property: String) throws {
            let outcome = try harness.cgrun("-p", property, "--", "true")
            #expect(outcome.exitCode == 125)
            #expect(outcome.errors.contains(text: ": a user's manager cannot enforce it"), "\(outcome)")
            try harness.expectNothingLeft()
        }

        @Test func memoryIsReadBack() throws {
            guard try isThere("memory") else { return }
            let show = "cat /sys/fs/cgroup$(grep ^0:: /proc/self/cgroup | cut -d: -f3)/../memory.low"
            let outcome = try harness.cgrun("-p", "MemoryLow=4M", "--", "sh", "-c", show)
            #expect(outcome.output == "4194304\n", "\(outcome)")
        }
    }
}
