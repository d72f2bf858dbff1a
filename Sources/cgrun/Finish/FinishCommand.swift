internal import CgroupSandbox
internal import FoundationEssentials
internal import Glibc
internal import LinuxSystem

/// `cgrun-finish`, the finisher: the guard executes it after a loss if a report was asked for, and hands the job over
/// in a message (GUARD_FINISH in guard_protocol.h). All signals are blocked, as they are in the guard: SIGPIPE from a
/// report that nobody reads does not end the finisher.
enum FinishCommand {
    static let name = "cgrun-finish"

    static func run() -> CInt {
        let job: LostJob
        do { job = try LostJob() } catch {
            Console().error("only a guard starts \(name), with a job to finish on descriptor 3 (\(error))")
            return 125
        }
        var status: CInt = 0
        var record: ReportOutput.Record?
        do {
            let text = try job.record.readAll(path: "cgrun-record")
            // An empty record: the launcher had delivered its report, and only the cgroups are left.
            if !text.isEmpty { record = try JSONDecoder().decode(ReportOutput.Record.self, from: Data(text.utf8)) }
        } catch {
            // Whatever becomes of the report, nothing of the job may be left.
            Console().error("what the launcher has written down of the job cannot be read: \(error)")
            status = 125
        }
        let output = record.map { ReportOutput($0.target, job) }
        do {
            try job.finish(record?.facts) { report in try? output?.write(report) }
        } catch {
            Console().error("the job cannot be ended: \(error)")
            status = 125
        }
        // Whoever reads the report until the end of file may rely on nothing of the job being left then. So the output
        // stays open until this process is gone, too.
        withExtendedLifetime(output) { exit(status) }
    }
}
