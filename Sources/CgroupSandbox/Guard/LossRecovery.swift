internal import CLinux
package import LinuxSystem

/// What the guard executes after a loss, instead of leaving without a report, and what it hands to that program
/// (GUARD_FINISH in guard_protocol.h).
package final class LossRecovery: Sendable {
    /// Run as `cgrun-finish`.
    private let executable: Descriptor
    /// The job's facts, as that program reads them; written once, before the job starts.
    private let record: Descriptor
    /// An open `--report-fd` that has to outlive the launcher.
    private let report: SharedDescriptor?
    /// What `--report` was found to mean: no path is looked at again.
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

    /// How many descriptors the guard has open for it.
    var descriptorCount: Int { 2 + (report == nil ? 0 : 1) + (target == nil ? 0 : 1) }

    /// Tells whoever reads the record that the report is out: an empty record asks for none.
    package func markDelivered() { record.truncate() }
}
