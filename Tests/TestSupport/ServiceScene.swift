import CgroupSandbox
import FoundationEssentials
import Glibc
import LinuxSystem
import SandboxValues
import Services

/// A test's own services, in a directory of the test's.
package final class ServiceScene {
    package let harness: Harness

    package init() throws { harness = try Harness() }

    /// Whatever is left of a failed test is ended, so that it fails no other.
    deinit {
        _ = try? run("stop")
        for survivor in harness.marker.survivors { kill(survivor.pid, SIGKILL) }
    }

    package var environment: [String: String] { ["CGRUN_STATE_DIRECTORY": harness.path("state")] }

    package func start(_ arguments: String...) throws -> TestProcess {
        try harness.startCgrun(["service"] + arguments, environment: environment)
    }

    /// Runs `cgrun service` with these arguments.
    @discardableResult
    package func run(_ arguments: String..., within limit: Duration = .seconds(30)) throws -> Outcome {
        try harness.startCgrun(["service"] + arguments, environment: environment).end(within: limit)
    }

    /// Starts `cgrun` with these arguments.
    package func start(cgrun arguments: [String], standardOutput: CInt? = nil) throws -> TestProcess {
        try harness.start([Programs.cgrun] + arguments, environment: environment, standardOutput: standardOutput)
    }

    /// Runs `cgrun` with these arguments.
    @discardableResult
    package func cgrun(_ arguments: String..., within limit: Duration = .seconds(30)) throws -> Outcome {
        try start(cgrun: arguments).end(within: limit)
    }

    /// Writes a `cgrun.toml`.
    ///
    /// - Returns: its path.
    package func writeServices(_ text: String) throws -> String { try harness.writeFile("cgrun.toml", text) }

    /// Starts a service that is ready at once unless its options say otherwise.
    package func begin(_ name: String, _ arguments: String...) throws {
        let outcome = try harness.startCgrun(
            ["service", "start", name, "--ready", "delay=0"] + arguments, environment: environment
        ).end()
        guard outcome.exitCode == 0 else { throw TestFailure("\(name) did not start: \(outcome)") }
    }

    package func status(_ name: String) throws -> ServiceStatus {
        let outcome = try run("status", "--json", name)
        guard let status = try? JSONDecoder().decode(ServiceStatus.self, from: Data(outcome.output.utf8)) else {
            throw TestFailure("no status: \(outcome)")
        }
        return status
    }

    /// Waits until a service stands as it is to.
    @discardableResult
    package func waitFor(
        _ name: String, within limit: Duration = .seconds(10), _ holds: (ServiceStatus) throws -> Bool
    ) throws -> ServiceStatus {
        var last: ServiceStatus?
        try eventually(within: limit, "\(name) to be as it is to: \(String(describing: last))") {
            // It may not be known yet.
            guard let now = try? status(name) else { return false }
            last = now
            return try holds(now)
        }
        return last!
    }

    /// The service's own lines, without the keeper's.
    package func lines(_ name: String) throws -> [String] {
        try run("logs", name).lines.filter { !$0.hasPrefix("cgrun: ") }
    }

    /// Kills a keeper and its guard in one instant.
    package func orphan(_ name: String) throws {
        let status = try waitFor(name) { $0.keeper != nil && $0.guard != nil }
        for pid in [status.keeper!, status.guard!] { kill(pid, SIGSTOP) }
        for pid in [status.keeper!, status.guard!] {
            try eventually("\(pid) to stop") { ProcessTable.state(pid) == "T" }
        }
        for pid in [status.guard!, status.keeper!] { kill(pid, SIGKILL) }
        try eventually("their ends") { [status.keeper!, status.guard!].allSatisfy { isGone($0) } }
    }

    package func isGone(_ pid: ProcessID) -> Bool { ["Z", "X", nil].contains(ProcessTable.state(pid)) }

    package func expectNothingLeft() throws { try harness.expectNothingLeft() }
}
