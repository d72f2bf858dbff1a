package import LinuxSystem

/// What the guard executes after a loss, instead of leaving without a report.
package final class LossRecovery: Sendable {
    /// Run as `cgrun-finish LOSS RECORD REPORT TARGET NAME TAGS PARENT… DIRECTORY…`, numbers being descriptors.
    let executable: Descriptor
    /// What that program needs to know; written once, before the job starts.
    let record: Descriptor
    /// An open `--report-fd` that has to outlive the launcher.
    let report: SharedDescriptor?
    /// What `--report` was found to mean: no path is looked at again.
    let target: SharedDescriptor?

    package init(
        executable: consuming Descriptor, record: consuming Descriptor, report: SharedDescriptor?,
        target: SharedDescriptor?
    ) {
        self.executable = executable
        self.record = record
        self.report = report
        self.target = target
    }

    /// What the guard holds for the program, `report` and `target` last.
    var descriptors: [CInt] {
        [executable.rawValue, record.rawValue] + [report, target].compactMap { $0?.descriptor.rawValue }
    }

    /// Tells whoever reads the record that the report is out: an empty record asks for none.
    package func markDelivered() { record.truncate() }
}
