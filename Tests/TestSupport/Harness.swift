import CgroupSandbox
import FoundationEssentials
import Glibc
import LinuxSystem
import SystemdBus

/// One test's use of cgrun: everything it starts carries the test's marker, and nothing may be left of it.
package final class Harness {
    package let marker = Marker()
    private let directory: String
    private let leftovers: Leftovers

    package init() throws {
        leftovers = Leftovers(of: marker)
        directory = "/tmp/cgrun-test-\(marker.text)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    package func path(_ name: String) -> String { "\(directory)/\(name)" }

    package func start(
        _ arguments: [String], environment: [String: String] = [:], standardInput: CInt? = nil,
        standardOutput: CInt? = nil, newSession: Bool = false
    ) throws -> TestProcess {
        try TestProcess(
            arguments, marker: marker.text, environment: environment, standardInput: standardInput,
            standardOutput: standardOutput, newSession: newSession)
    }

    /// Starts `cgrun` with these arguments.
    package func startCgrun(_ arguments: [String], environment: [String: String] = [:]) throws -> TestProcess {
        try start([Programs.cgrun] + arguments, environment: environment)
    }

    package func cgrun(
        _ arguments: String..., environment: [String: String] = [:], within limit: Duration = .seconds(30)
    ) throws -> Outcome {
        try startCgrun(arguments, environment: environment).end(within: limit)
    }

    /// Runs cgrun with a report, and reads it.
    package func reported(
        _ arguments: String..., environment: [String: String] = [:]
    ) throws -> (outcome: Outcome, report: Report) {
        try reported(arguments, environment: environment)
    }

    package func reported(
        _ arguments: [String], environment: [String: String] = [:]
    ) throws -> (outcome: Outcome, report: Report) {
        let file = path("report.json")
        let outcome = try startCgrun(["--report", file] + arguments, environment: environment).end()
        return (outcome, try report(file))
    }

    package func report(_ file: String) throws -> Report {
        let data = try Data(contentsOf: URL(filePath: file))
        return try JSONDecoder().decode(Report.self, from: data)
    }

    package func writeFile(_ name: String, _ text: String) throws -> String {
        try Data(text.utf8).write(to: URL(filePath: path(name)))
        return path(name)
    }

    /// Waits until a process of this test has the name. cgrun goes on before a helper that it started has named
    /// itself, and a shell before its child has executed the command: a test that looks only once may be too early.
    package func survivor(_ name: String) throws -> Marker.Survivor {
        var found: Marker.Survivor?
        try eventually("\(name) among \(marker.survivors)") {
            found = marker.survivors.first { $0.command == name }
            return found != nil
        }
        return found!
    }

    /// Kills a launcher and its guard, and returns once both are dead. Both are stopped first: the guard could end
    /// the job, and the launcher could start another guard.
    package func killTogether(_ job: TestProcess, _ guardian: Marker.Survivor) throws {
        let guardian = try ProcessDescriptor(pid: guardian.pid)
        for pid in [job.pid, guardian.pid] {
            try ProcessDescriptor(pid: pid).send(.stop)
            try eventually("\(pid) to stop") { ProcessTable.state(pid) == "T" }
        }
        try guardian.send(.kill)
        job.send(.kill)
        _ = try job.end()
        try eventually("the guard's end") { guardian.hasEnded }
    }

    /// Waits a moment for what dies asynchronously, then demands that nothing of this test is left.
    package func expectNothingLeft(within limit: Duration = .seconds(10)) throws {
        try leftovers.expectNone(within: limit)
    }
}

/// What `cgrun check` says that this machine can enforce.
package enum Capability {
    private static let findings = Preflight().findings

    package static func has(_ subject: String) -> Bool {
        findings.contains { $0.subject == subject && $0.isAvailable }
    }

    /// What `Tests/run` says that this tier must have, so that a wrong "no" cannot pass for a skip.
    package static var expected: [String] {
        (ThisProcess.environmentVariable("CGRUN_TEST_EXPECT") ?? "").split(separator: " ").map(String.init)
    }

    /// The number of the disk that `/var/tmp` is on, as the kernel writes it.
    package static let disk: String? = {
        var limits = Limits()
        limits.ioMax = [IOLimit(.path("/var/tmp"), [:])]
        return (try? limits.resolved())?.values.ioMax.first?.device.description
    }()
    package static var hasIOMax: Bool { has("--io-max") && disk != nil }

    package static var isHybrid: Bool { findings.first?.detail.hasPrefix("hybrid") == true }
    package static var isUnified: Bool { findings.first?.detail.hasPrefix("unified") == true }
    /// CAP_SYS_RESOURCE, without which nobody can exempt a process from OOM kills.
    package static var canRaiseOOMScore: Bool {
        let status = (try? readTextFile("/proc/self/status")) ?? ""
        let mask = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }?.split(separator: "\t").last
        return mask.flatMap { UInt64($0, radix: 16) }.map { $0 & (1 << 24) != 0 } ?? false
    }

    /// Whether systemd is PID 1 here.
    package static var isBooted: Bool { ServiceManager.isBooted }
    /// Whether jobs get a scope of systemd's, as `Tests/run` has it for this run.
    package static var usesSystemd: Bool {
        isBooted && ThisProcess.environmentVariable("CGRUN_CGROUP_MANAGER") != "cgroupfs"
    }

    /// The first number of systemd's version; 0 where it is not to be had.
    public static var systemdVersion: Int {
        let detail = findings.first { $0.subject == "--cgroup-manager systemd" && $0.isAvailable }?.detail
        return detail.flatMap { Int($0.dropFirst("systemd ".count).prefix { $0.isNumber }) } ?? 0
    }

    /// Whether cgroups can be made without a manager.
    package static var mayMakeCgroups: Bool { TestCgroups.own.first.map { access($0, W_OK) == 0 } ?? false }

    /// How many processes stand by a job: its guard, and in a scope the holder.
    package static var helperCount: Int { usesSystemd ? 2 : 1 }

    package static var isRoot: Bool { ThisProcess.effectiveUserID == 0 }
}
