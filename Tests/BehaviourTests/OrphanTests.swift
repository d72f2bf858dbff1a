import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// Where the init of the machine or container reaps nothing, cgrun does: here too, since orphans fall to cgrun.
    @Suite struct Orphans {
        let harness: Harness

        init() throws { harness = try Harness() }

        @Test(.enabled(if: Capability.has("--pids"), "no pids controller for this caller"))
        func zombiesDoNotUseUpTheLimit() throws {
            let script = "for i in $(seq 40); do (sleep 0.01 &); sleep 0.02; done; echo done"
            let (outcome, report) = try harness.reported("--pids", "20", "--", "sh", "-c", script)
            #expect(outcome.output == "done\n")
            #expect(outcome.exitCode == 0 && report.pids.refusedForks ?? 0 == 0)
            try harness.expectNothingLeft()
        }

        /// PostgreSQL, started again at once, looks for its old postmaster by `kill -0`.
        @Test func straysAreGoneAndNotOnlyDead() throws {
            for _ in 0..<(patience == 1 ? 50 : 5) {
                let outcome = try harness.cgrun("--", "sh", "-c", "for i in 1 2 3; do sleep 1000 & echo $!; done")
                for pid in outcome.lines.compactMap({ ProcessID($0) }) {
                    #expect(kill(pid, 0) == -1 && errno == ESRCH, "\(pid) is \(ProcessTable.state(pid) ?? " ")")
                }
                #expect(outcome.lines.count == 3)
            }
            try harness.expectNothingLeft()
        }

        /// Whoever execs cgrun may have children already: their ends are not the job's, and they are not waited for.
        @Test func childrenFromBeforeAreNotWaitedFor() throws {
            let script = "sleep 1000 & echo $!; (exit 3) & exec \"$@\""
            let job = try harness.start(["sh", "-c", script, "sh", Programs.cgrun, "--", Programs.probe, "plant", "1"])
            let outcome = try job.end(within: .seconds(10))
            #expect(outcome.exitCode == 0)
            let sleeper = try #require(ProcessID(outcome.lines.first ?? ""))
            #expect(kill(sleeper, .init(SIGKILL)) == 0)
            try harness.expectNothingLeft()
        }

        /// The init of a pid namespace, as in a container.
        @Test(.enabled(if: Capability.isRoot, "needs a pid namespace"), .onRealMachines) func asTheInit() throws {
            let script =
                "for i in 1 2 3; do (sleep 0.01 &); done; sleep 0.1; cat /proc/[0-9]*/stat | grep -c ' Z '; exit 4"
            let inside = [Programs.cgrun, "--cgroup-manager", "cgroupfs", "--", "sh", "-c", script]
            let outcome = try harness.start(["unshare", "-pf", "--mount-proc"] + inside).end()
            #expect(outcome.output == "0\n", "\(outcome.errors)")
            #expect(outcome.exitCode == 4)
            try harness.expectNothingLeft()
        }
    }
}
