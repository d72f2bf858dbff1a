import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// Whose limit was met, whether it held, and of what the memory was.
    @Suite struct MetLimits {
        let harness: Harness

        init() throws { harness = try Harness() }

        /// No helper of cgrun's is in the way, and none is killed in the job's place.
        @Test(
            .enabled(if: Capability.has("--mem"), "no memory controller for this caller"),
            arguments: ["4096", "16K", "64K", "100K", "200K"])
        func tooLittleMemoryToStart(_ size: String) throws {
            for arguments in [[], [String(repeating: "x", count: 100_000)]] {
                for _ in 0..<3 {
                    let (outcome, report) = try harness.reported(["--mem", size, "--", "true"] + arguments)
                    #expect([.normal, .oomOwnLimit, .setupError].contains(report.cause), "\(report.evidence)")
                    guard outcome.exitCode != 0 else { continue }
                    #expect(outcome.exitCode == (report.cause == .oomOwnLimit ? 137 : 125))
                    #expect(outcome.errors.lowercased().contains(text: "raise --mem"), "\(outcome)")
                }
            }
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.has("--mem"), "no memory controller for this caller"))
        func memoryLimitAbove() throws {
            let file = harness.path("report")
            let outer = try harness.cgrun(
                "--mem", "40M", "--", Programs.cgrun, "--mem", "1G", "--report", file, "--", Programs.probe, "allocate",
                "200")
            let report = try harness.report(file)
            #expect(report.cause == .oomAncestor, "\(report.evidence)")
            #expect(report.explanation?.contains(text: ": 41943040)") == true, "\(outcome(outer, report))")
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.has("--pids"), "no pids controller for this caller"))
        func pidsLimitAbove() throws {
            let file = harness.path("report")
            let outer = try harness.cgrun(
                "--pids", "12", "--", Programs.cgrun, "--pids", "100", "--report", file, "--", Programs.probe,
                "processes", "24")
            let report = try harness.report(file)
            #expect(report.cause == .pidsAncestor && report.confidence != .certain, "\(outcome(outer, report))")
            #expect(report.explanation?.contains(text: "at the limit of a cgroup above the job (/") == true)
            #expect(report.explanation?.contains(text: ": 12); the job's own peak was ") == true)
            #expect(report.advice?.contains(text: "Raise that limit") == true)
            #expect(report.advice?.contains(text: "--pids") != true, "it would not help")
            try harness.expectNothingLeft()
        }

        private func outcome(_ outcome: Outcome, _ report: Report) -> String {
            "\(outcome), \(report.explanation ?? ""), \(report.evidence)"
        }

        /// In the place of what the job may write itself.
        private static let raise = """
            set -- $(grep -E ':(memory|):' /proc/self/cgroup | head -n 1 | cut -d: -f3)
            for file in /sys/fs/cgroup/memory$1/memory.memsw.limit_in_bytes \
                /sys/fs/cgroup/memory$1/memory.limit_in_bytes /sys/fs/cgroup$1/memory.max; do
                if test -w $file; then echo 2147483648 > $file; fi
            done
            """

        @Test(.enabled(if: Capability.has("--mem"), "no memory controller for this caller"))
        func changedLimitsAreTold() throws {
            for (code, prefix) in [(0, "warning: sh exited with 0"), (3, "sh exited with 3")] {
                let (outcome, report) = try harness.reported(
                    "--mem", "50M", "--", "sh", "-c", "\(Self.raise)\nexit \(code)")
                let change = try #require(report.limitsChanged.first, "\(report)")
                #expect(change.file.contains(text: "/memory.") && change.set == "52428800")
                #expect(change.found == "2147483648")
                #expect(report.limits.resources.memoryMax == .value(.bytes(50 << 20)))
                #expect(outcome.exitCode == code)
                #expect(
                    outcome.errors.contains(text: "cgrun: \(prefix), but somebody changed its limits while it ran: "),
                    "\(outcome)")
            }
            let (_, unchanged) = try harness.reported(
                "--mem", "50M", "--cpu", Capability.has("--cpu") ? "1.5" : "max", "--pids", "max", "--", "true")
            #expect(unchanged.limitsChanged.isEmpty, "\(unchanged.limitsChanged)")
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.has("--mem"), "no memory controller for this caller"))
        func memoryThatIsPageCache() throws {
            // Not in the temporary directory, which may be in memory.
            let file = "/var/tmp/cgrun-test-\(JobName.make().id)"
            defer { unlink(file) }
            let (outcome, report) = try harness.reported(
                "--verbose", "--mem", "128M", "--", "dd", "if=/dev/zero", "of=\(file)", "bs=1M", "count=40",
                "status=none")
            let parts = try #require(report.memory.atEnd)
            #expect(parts.fileBytes - parts.sharedBytes > 30 << 20, "\(parts)")
            #expect(parts.anonymousBytes < 4 << 20)
            #expect(outcome.errors.contains(text: " (most of it page cache, "), "\(outcome.errors)")

            let (other, allocated) = try harness.reported(
                "--verbose", "--mem", "128M", "--", Programs.probe, "allocate", "40")
            #expect(allocated.memory.atEnd.map { $0.fileBytes < 20 << 20 } == true)
            #expect(!other.errors.contains(text: "page cache"))
        }

        /// `cgrun check` never says yes to what then fails.
        @Test func whatCheckGrantsWorks() throws {
            for kind in LimitKind.all where Capability.has(kind.flag) {
                let value =
                    switch kind {
                    case .cpuset: try #require(CPUSet.ofThisProcess).kernelText
                    case .ioMax: "\(try #require(IOLimit.Device.any)):rbps=1G"
                    default: try #require(kind.sample)
                    }
                var options = [kind.flag, value]
                if kind == .swapMax { options += ["--mem", "1G"] }
                let (outcome, report) = try harness.reported(options + ["--", "true"])
                #expect(outcome.exitCode == 0 && outcome.errors == "", "\(options): \(outcome)")
                #expect(report.limits.resources.kinds.contains(kind) && report.limitsChanged.isEmpty)
            }
            if Capability.has("--cgroup-manager systemd") {
                #expect(try harness.cgrun("--cgroup-manager", "systemd", "true").exitCode == 0)
            }
            try harness.expectNothingLeft()
        }
    }
}
