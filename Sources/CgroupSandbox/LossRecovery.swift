package import LinuxSystem

/// What the guard executes after a loss, instead of leaving without a report.
package final class LossRecovery: Sendable {
    /// Run as `cgrun-finish LOSS RECORD REPORT NAME TAGS PARENT… DIRECTORY…`, numbers being descriptors.
    let executable: Descriptor
    /// What that program needs to know; written once, before the job starts.
    let record: Descriptor
    /// An open `--report-fd` that has to outlive the launcher.
    let report: CInt?

    package init(executable: consuming Descriptor, record: consuming Descriptor, report: CInt?) {
        self.executable = executable
        self.record = record
        self.report = report
    }

    /// Tells whoever reads the record that the report is out: an empty record asks for none.
    package func markDelivered() { record.truncate() }
}
