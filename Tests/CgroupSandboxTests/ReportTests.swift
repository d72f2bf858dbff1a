import Cgroups
import FoundationEssentials
import SandboxValues
import Testing

@testable import CgroupSandbox
@testable import LinuxSystem

/// The JSON form, which other programs depend on: what changes it must change `schema`.
@Suite struct ReportTests {
    private func encode(_ report: Report) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(report), as: UTF8.self)
    }

    private func decode(_ text: String) throws -> Report {
        try JSONDecoder().decode(Report.self, from: Data(text.utf8))
    }

    /// Every field with a value that no default has.
    static let full = sampleReport {
        $0.result = .dumped
        $0.exitCode = nil
        $0.signal = Report.SignalInfo(number: 6, name: "SIGABRT")
        $0.coreDumped = true
        $0.cause = .pidsLimit
        $0.confidence = .possible
        $0.evidence = [Report.Evidence(source: "pids.events: max", value: "7")]
        $0.launcherExitCode = 134
        $0.oomInTree = true
        $0.straysKilled = true
        $0.limits.resources.cpuset = try? CPUSet(parsing: "0-3")
        $0.limits.resources.ioMax = (try? IOLimit(parsing: "8:0:rbps=1M,wiops=100")).map { [$0] } ?? []
        $0.limits.changedAt = "2026-01-02T03:04:06.000Z"
        $0.io = [Report.DeviceIO(device: "8:0", readBytes: 4096, writeBytes: 512)]
        $0.limitsChanged = [
            Report.LimitChange(file: "/sys/fs/cgroup/x/cgrun-0123456789abcdef/memory.max", set: "67108864", found: nil)
        ]
        $0.memory.atEnd = Report.MemoryParts(anonymousBytes: 0, fileBytes: 8192, sharedBytes: 4096, kernelBytes: nil)
        $0.pressure.memory = Report.Pressure(someSeconds: 0.5, fullSeconds: 0.25)
        $0.pressure.cpu = Report.Pressure(someSeconds: 1.5, fullSeconds: nil)
        $0.termination = Report.Termination(
            requestedBy: "timeout", signal: Report.SignalInfo(number: 15, name: "SIGTERM"), graceSeconds: 5,
            escalated: true, blocking: [Report.ProcessInfo(pid: 4711, comm: "sleep")], cgroupKill: true,
            emptyAfterSeconds: 0.125)
        $0.strays = [Report.ProcessInfo(pid: 4711, comm: "sleep")]
        $0.unkillable = [Report.ProcessInfo(pid: 4712, comm: "nfs")]
        $0.unavailable = [Report.Unavailable(field: "io", reason: "the io controller is not enabled for this job")]
    }

    @Test func looksAsAlways() throws {
        // Line by line, so that a difference is told as one.
        let lines = try encode(Self.full).split(separator: "\n")
        let golden = goldenReport.split(separator: "\n")
        for (line, expected) in zip(lines, golden) { #expect(line == expected) }
        #expect(lines.count == golden.count)
    }

    @Test func theSchemaIsOne() throws {
        #expect(try encode(sampleReport()).contains("\"schema\" : 1,"))
    }

    /// `null`, never 0 and never left out: a reader need not guess.
    @Test func whatIsMissingIsNull() throws {
        let text = try encode(
            sampleReport {
                ($0.memory, $0.pids, $0.cpu) = (Report.Memory(), Report.PIDs(), Report.CPU())
                ($0.bootID, $0.endedAt, $0.wallSeconds, $0.exitCode, $0.launcherExitCode) = (nil, nil, nil, nil, nil)
                $0.limits = Report.LimitValues()
                $0.cwd = nil
                $0.containment.cgroup = nil
                $0.containment.hierarchy = nil
            })
        for field in [
            "cwd", "boot_id", "ended_at", "wall_seconds", "exit_code", "signal", "launcher_exit_code", "error",
            "escape_detected", "unit", "cgroup", "hierarchy", "memory_max_bytes", "memory_high_bytes",
            "swap_max_bytes", "pids_max", "cpu_cores", "cpu_weight", "cpuset", "io_max", "changed_at",
            "wall_timeout_seconds",
            "cpu_timeout_seconds", "peak_bytes", "swap_peak_bytes", "events", "events_local", "peak",
            "refused_forks", "usage_seconds", "user_seconds", "system_seconds", "throttled_seconds", "io",
            "requested_by", "grace_seconds", "empty_after_seconds",
        ] {
            #expect(text.contains("\"\(field)\" : null"), "\(field)")
        }
    }

    @Test func survivesARoundTrip() throws {
        for report in [sampleReport(), Self.full, .ended(by: .kill, .oomOwnLimit)] {
            #expect(try decode(try encode(report)) == report)
        }
        #expect(try decode(goldenReport) == Self.full)
    }

    @Test(arguments: Report.Cause.allCases) func causesAreWords(_ cause: Report.Cause) throws {
        let text = try encode(sampleReport { $0.cause = cause })
        #expect(text.contains("\"cause\" : \"\(cause.rawValue)\""))
        #expect(cause.rawValue.utf8.allSatisfy { $0 == UInt8(ascii: "_") || (97...122).contains($0) })
    }

    @Test func textsAreEscaped() throws {
        let odd = sampleReport { $0.argv = ["a\"b\\c\n\u{1}\u{1F600}", ""] }
        #expect(try decode(try encode(odd)).argv == odd.argv)
    }

    @Test func tellsWhyNothingStarted() {
        var spec = JobSpec(["./tool", "x"])
        spec.workingDirectory = "/srv"
        let report = Report(notStarted: LaunchSpec(spec), LaunchError(.notFound, "./tool: command not found"))
        #expect(report.result == .notStarted)
        #expect(report.cause == .execError)
        #expect(report.error == "./tool: command not found")
        #expect(report.launcherExitCode == 127)
        #expect(report.exitCode == nil)
        #expect(report.wallSeconds == nil)
        #expect(report.argv == ["./tool", "x"])
        #expect(report.cwd == "/srv")
        #expect(report.containment.achieved == "none")
        #expect(report.endedAt != nil)
        #expect(report.unavailable.contains { $0.field == "wall_seconds" })
    }

    @Test func tellsTheLimits() throws {
        var spec = JobSpec(["x"])
        spec.limits.memoryMax = .value(.bytes(64 << 20))
        spec.limits.pidsMax = .max
        spec.limits.cpuMax = .value(try .init(parsing: "1.5"))
        spec.timeout = .milliseconds(1500)
        let limits = Report(notStarted: LaunchSpec(spec), LaunchError(.setup, "no")).limits
        #expect(limits.resources.memoryMax == .value(.bytes(64 << 20)))
        #expect(limits.resources.swapMax == .value(.bytes(0)))
        #expect(limits.resources.pidsMax == .max)
        #expect(limits.resources.cpuMax?.value?.cores == 1.5)
        #expect(limits.wallTimeoutSeconds == 1.5)
        #expect(limits.cpuTimeoutSeconds == nil)
    }

    @Test func timestampsAreRFC3339() {
        #expect(Timestamp(sinceEpoch: .milliseconds(1_767_323_045_678)).text == "2026-01-02T03:04:05.678Z")
        #expect(Timestamp(sinceEpoch: .zero).text == "1970-01-01T00:00:00.000Z")
        #expect(Timestamp(sinceEpoch: .seconds(951_782_399)).text == "2000-02-28T23:59:59.000Z")
        #expect(Timestamp(sinceEpoch: .seconds(951_782_400) + .milliseconds(7)).text == "2000-02-29T00:00:00.007Z")
    }
}
