internal import CgroupSandbox
internal import Cgroups
internal import FoundationEssentials
internal import Glibc
internal import LinuxSystem

/// `cgrun-finish`, which a guard becomes after a loss when a report was asked for:
/// `cgrun-finish LOSS RECORD REPORT TARGET NAME TAGS PARENT… DIRECTORY…`, numbers being open descriptors.
/// All signals are blocked, as they are in the guard: a report that nobody reads any more ends nobody.
enum FinishCommand {
    static let name = "cgrun-finish"

    static func run(_ arguments: [String]) -> CInt {
        guard arguments.count > 7, let loss = CInt(arguments[1]).flatMap(Report.Loss.init),
            let recordDescriptor = CInt(arguments[2]), let report = CInt(arguments[3]), let target = CInt(arguments[4])
        else { return 125 }
        let (name, tags) = (arguments[5], Array(arguments[6].utf8))
        let descriptors = arguments[7...].compactMap { CInt($0) }
        do {
            let text = try Descriptor(owning: recordDescriptor).readAll(path: "cgrun-record")
            var record = try? JSONDecoder().decode(ReportOutput.Record.self, from: Data(text.utf8))
            let cgroup = JobCgroup(
                adopting: name, path: Descriptor.path(of: descriptors[tags.count]) ?? name, tags: tags,
                parents: Array(descriptors.prefix(tags.count)),
                directories: Array(descriptors.dropFirst(tags.count)),
                parentSharesLimits: record?.report.containment.manager == ManagerChoice.systemd.rawValue)
            // An empty record: the launcher had delivered its report, and only the cgroups are left.
            record?.report.containment.cgroup = cgroup.path
            record?.report.recover(loss, cgroup)
            let output = record.map { ReportOutput($0, target: target, report: report) }
            if let record { try? output?.write(record.report) }
            // Whoever reads the report until the end of file may rely on it that nothing of the job is left then. So
            // the output stays open until this process is gone, too.
            cgroup.outlast()
            withExtendedLifetime(output) { exit(0) }
        } catch {
            return 125
        }
    }
}
