import CgroupSandbox
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// A job of the launcher's own user may take the rights to its cgroup away. What cannot be looked at is not empty.
    @Suite(
        .enabled(
            if: !Capability.usesSystemd && (Capability.isRoot || Capability.mayMakeCgroups),
            "needs a cgroup of an ordinary user's"))
    struct Unreadable {
        let harness: Harness

        init() throws { harness = try Harness() }

        private static let mount = (Capability.isHybrid ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup")
        private static let own = "c=\(mount)$(sed -n 's/^0:://p' /proc/self/cgroup)"

        /// What a job does to its cgroup, having planted two daemons.
        static let tricks = [
            "chmod 0 $c", "chmod 0400 $c", "chmod 0100 $c", "chmod 0 $c/cgroup.events", "chmod 0 $c/cgroup.procs",
            "chmod 0 $c/cgroup.kill", "chmod 0 $c/cgroup.*; chmod 0 $c", "mkdir -p $c/a/b; chmod 0 $c/a/b $c/a $c",
            "mkdir -p $c/a/b; echo 0 > $c/a/b/cgroup.procs; chmod 0 $c/a/b $c/a $c",
        ]

        private func script(_ trick: String, then rest: String) -> String {
            "\(Self.own); \(Programs.probe) plant 2; \(trick); \(rest)"
        }

        /// As an ordinary user: root may look at everything.
        private func asUser(_ body: (_ wrap: ([String]) -> [String]) throws -> Void) throws {
            guard Capability.isRoot else { return try body { $0 } }
            try harness.withDelegatedCgroup(legacy: false) { enter in
                try body { command in
                    ["setpriv", "--reuid", "65534", "--clear-groups", "sh", "-c", "\(enter); exec \"$@\"", "sh"]
                        + command
                }
            }
        }

        @Test(arguments: tricks)
        func strayIsKilled(_ trick: String) throws {
            try asUser { wrap in
                let job = [Programs.cgrun, "--report-fd", "1", "--", "sh", "-c", script(trick, then: "exit 3")]
                let outcome = try harness.start(wrap(job)).end()
                #expect(outcome.exitCode == 3, "\(outcome)")
                #expect(outcome.output.contains(text: "\"strays_killed\" : true"), "\(outcome)")
                try harness.expectNothingLeft()
            }
        }

        @Test(arguments: tricks)
        func launcherKilled(_ trick: String) throws {
            try asUser { wrap in
                for report in [[], ["--report-fd", "1"]] {
                    let rest = script(trick, then: "echo ready; exec sleep 1000")
                    let job = try harness.start(wrap([Programs.cgrun] + report + ["--", "sh", "-c", rest]))
                    try job.waitForOutput("ready")
                    job.send(.kill)
                    _ = try job.end()
                    try harness.expectNothingLeft()
                    if !report.isEmpty {
                        #expect(job.output.contains(text: "\"cause\" : \"launcher_lost\""), "\(job.output)")
                    }
                }
            }
        }

        @Test func sweptByItsOwner() throws {
            try asUser { wrap in
                let rest = script("chmod 0 $c", then: "echo ready; exec sleep 1000")
                let job = try harness.start(wrap([Programs.cgrun, "--", "sh", "-c", rest]))
                try job.waitForOutput("ready")
                try harness.killTogether(job, harness.survivor("cgrun-guard"))
                #expect(harness.marker.survivors.count == 3)
                let swept = try harness.start(wrap([Programs.cgrun, "sweep"])).end()
                #expect(swept.output.contains(text: "removed: "), "\(swept)")
                try harness.expectNothingLeft()
            }
        }

        /// A launcher without a free descriptor cannot look, and says so.
        @Test(.once) func blindLauncherFails() throws {
            // Not before the launcher has opened what it waits for, its timer last.
            let waits = "until ls -l /proc/$PPID/fd | grep -q timerfd; do sleep 0.01; done"
            let script = "\(waits); prlimit --nofile=3:3 --pid $PPID; \(Programs.probe) plant 2"
            let outcome = try harness.cgrun("--", "sh", "-c", script)
            #expect(outcome.exitCode == 125, "\(outcome)")
            #expect(
                outcome.errors.contains(text: "sh has ended, but cgrun cannot tell whether anything of it is left"),
                "\(outcome)")
            #expect(outcome.errors.contains(text: "cgroup.events: Too many open files"), "\(outcome)")
            try harness.expectNothingLeft()
        }
    }
}
