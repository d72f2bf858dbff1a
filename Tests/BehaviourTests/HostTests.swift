import CgroupSandbox
import Cgroups
import FoundationEssentials
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

/// How much of the full numbers is tried: 300 is all of them.
private let rounds = ThisProcess.environmentVariable("CGRUN_TEST_ROUNDS").flatMap { Int($0) } ?? 30

private func share(_ whole: Int) -> Int { max(10, whole * min(rounds, 300) / 300) }

extension Behaviour {
    /// A program that imports the library, as it holds up with many jobs and when it is killed.
    @Suite(.enabled(if: Capability.mayMakeCgroups, "a program's jobs are directories below its own cgroup"))
    struct Hosts {
        let harness: Harness

        init() throws { harness = try Harness() }

        private func start(_ arguments: String..., limits: Bool = false) throws -> TestProcess {
            var environment = ["CGRUN_GUARD": Programs.guardian]
            if limits { environment["HOST_LIMITS"] = "1" }
            return try harness.start([Programs.host] + arguments, environment: environment)
        }

        /// `name=value` in a line that the host wrote.
        private func number(_ name: String, in line: String) throws -> Int {
            let word = line.split(separator: " ").first { $0.hasPrefix(name + "=") }
            return try #require(word.flatMap { Int($0.dropFirst(name.count + 1)) }, "\(name) in \(line)")
        }

        private func descriptorCount(_ pid: ProcessID) throws -> Int {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
        }

        private var canLimit: Bool { Capability.has("--mem") && Capability.has("--pids") }

        @Test func aThousandJobsInOneProgram() throws {
            let isEmulated = ThisProcess.environmentVariable("CGRUN_TEST_PATIENCE") != nil
            let count = min(isEmulated ? 200 : 1_000, ThisProcess.hardDescriptorLimit / 5)
            for limits in canLimit ? [false, true] : [false] {
                let host = try start("sleep", "\(count)", limits: limits)
                try host.waitForOutput("ready", within: .seconds(60))
                let line = host.output
                #expect(try number("threads", in: line) <= Self.mostThreads)
                #expect(try number("descriptors", in: line) <= 4 * count + 30)
                #expect(harness.marker.guards.count == 1, "one guard for all of them")
                let guardian = try harness.survivor("cgrun-guard").pid
                // A few may be on their way still.
                try eventually("4 descriptors a job") { try descriptorCount(guardian) <= 4 * count + 30 }
                let status = try readTextFile("/proc/\(guardian)/status").split(separator: "\n")
                let resident = try #require(status.first { $0.hasPrefix("VmRSS:") })
                #expect(try #require(Int(resident.filter(\.isNumber))) <= 2_048, "\(resident)")
                #expect(harness.marker.survivors.count == count + 2)
                #expect(TestCgroups.jobs.count >= count)

                host.send(.kill)
                _ = try host.end()
                let start = BootTime.now
                try eventually("an empty tree") { harness.marker.survivors.allSatisfy { $0.command == "cgrun-guard" } }
                let empty = BootTime.now - start
                try harness.expectNothingLeft()
                print(
                    "\(count) jobs after SIGKILL of their host: no process after \(empty), no cgroup after \(BootTime.now - start)"
                )
            }
        }

        /// The guard is killed as well as the host may be: another one takes all jobs over.
        @Test(.onRealMachines) func theGuardOfManyJobsIsReplaced() throws {
            let count = min(share(3_000), ThisProcess.hardDescriptorLimit / 10)
            let host = try start("sleep", "\(count)")
            try host.waitForOutput("ready", within: .seconds(60))
            var last: ProcessID = 0
            for _ in 0..<20 {
                try eventually("another guard") { harness.marker.guards.contains { $0.pid != last } }
                last = try #require(harness.marker.guards.first { $0.pid != last }).pid
                try ProcessDescriptor(pid: last).send(.kill)
            }
            try eventually("another guard") { harness.marker.guards.contains { $0.pid != last } }
            let guardian = try #require(harness.marker.guards.first { $0.pid != last }).pid
            try eventually("all jobs at the guard") { try descriptorCount(guardian) >= 2 * count }
            #expect(harness.marker.survivors.count == count + 2)
            host.send(.kill)
            _ = try host.end()
            try harness.expectNothingLeft()
        }

        @Test(.onRealMachines) func aStoppedGuardHoldsNobodyUpForLong() throws {
            let host = try start("sequence", "\(share(6_000))")
            // One that has not said yet that it watches would hold the first job up, and have it refused.
            try host.waitForOutput("descriptors")
            let stopped = try ProcessDescriptor(pid: harness.survivor("cgrun-guard").pid)
            try stopped.send(.stop)
            #expect(try host.end(within: .seconds(60)).exitCode == 0)
            try? stopped.send(.continue)
            try harness.expectNothingLeft()
        }

        @Test(.onRealMachines) func manyJobsOneAfterTheOther() throws {
            let count = share(20_000)
            let host = try start("sequence", "\(count)", limits: canLimit).end(within: .seconds(300))
            #expect(host.exitCode == 0, "\(host.errors)")
            try expectNoGrowth(host.lines)
            try harness.expectNothingLeft()
        }

        @Test(.onRealMachines) func manyJobsCancelledAtRandomMoments() throws {
            let host = try start("churn", "\(share(5_000))", "50").end(within: .seconds(300))
            #expect(host.exitCode == 0, "\(host.errors)")
            let last = try #require(host.lines.last)
            #expect(try number("descriptors", in: last) <= 24, "\(last)")
            #expect(try number("threads", in: last) <= Self.mostThreads)
            #expect(try number("rss", in: last) <= number("rss", in: host.lines[host.lines.count / 2]) + 2_048)
            try harness.expectNothingLeft()
        }

        /// However many jobs there are. The dispatch library has two threads for each processor, and adds one in each
        /// second in which all of them wait in the kernel, as they may on a machine with too much to do.
        private static let mostThreads = 2 * Machine.onlineProcessors + 12

        private func expectNoGrowth(_ lines: [String]) throws {
            let (first, last) = (try #require(lines.dropFirst().first), try #require(lines.last))
            #expect(try number("descriptors", in: last) == number("descriptors", in: first))
            #expect(try number("threads", in: last) <= Self.mostThreads)
            #expect(try number("rss", in: last) <= number("rss", in: first) + 1_024, "\(first) … \(last)")
        }

        /// The kernel reaps for a program that ignores SIGCHLD; 6.15 and later still tell how a child ended.
        @Test(arguments: ["ignore", "steal"])
        func hostsThatReapChildrenThemselves(_ how: String) throws {
            let outcome = try start("deaf", how).end()
            #expect(outcome.exitCode == 0, "\(outcome)")
            #expect(outcome.lines.count == 20)
            for (code, line) in outcome.lines.enumerated() where line != "unknown unknown" {
                #expect(line == "exited(code: \(code)) \(code == 0 ? "normal" : "nonzero_exit")")
            }
            let release = Machine.kernelRelease.split(separator: ".").prefix(2).compactMap { Int($0) }
            if release.count == 2, (release[0], release[1]) >= (6, 15) {
                #expect(!outcome.lines.contains("unknown unknown"))
            }
            try harness.expectNothingLeft()
        }

        @Test func hostKilledAtRandomMoments() throws {
            for _ in 0..<share(200) {
                let host = try start("load", "12")
                pause(.milliseconds(Int.random(in: 0...150)))
                host.send(.kill)
                _ = try host.end()
                try harness.expectNothingLeft()
            }
        }
    }
}
