internal import CLinux
package import LinuxSystem

/// The finisher, which the guard executes after a loss to have the report written, and what the guard hands to it
/// (GUARD_FINISH in guard_protocol.h).
package final class LossRecovery: Sendable {
    /// The program that runs as `cgrun-finish`.
    private let executable: Descriptor
    /// The job's facts, for the finisher. They are written once, before the job starts.
    private let record: Descriptor
    /// The open descriptor of `--report-fd`, which has to outlive the launcher.
    private let report: SharedDescriptor?
    /// What the path of `--report` led to. Nobody looks the path up again.
    private let target: SharedDescriptor?

    package init(
        executable: consuming Descriptor, record: consuming Descriptor, report: SharedDescriptor?,
        target: SharedDescriptor?
    ) {
        self.executable = executable
        self.record = record
        self.report = report
        self.target = target
    }

    func add(to message: inout guard_contents) {
        message.executable = executable.rawValue
        message.record = record.rawValue
        message.report = report?.descriptor.rawValue ?? -1
        message.target = target?.descriptor.rawValue ?? -1
    }

    /// How many descriptors the guard has open for this recovery.
    var descriptorCount: Int { 2 + (report == nil ? 0 : 1) + (target == nil ? 0 : 1) }

    /// Keeps the finisher from writing the report again: an empty record asks for no report.
    package func markDelivered() { record.truncate() }
}
