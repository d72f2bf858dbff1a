internal import CgroupSandbox
internal import FoundationEssentials
internal import Glibc
internal import LinuxSystem
internal import SystemPackage

/// Where the report goes.
struct ReportOutput: Sendable {
    /// The file of `--report`.
    private var file: OutputFile?
    /// The descriptor of `--report-fd`.
    private var descriptor: OutputFile?
    /// Both options as they were given, for messages.
    private var words = (file: "--report", descriptor: "--report-fd")
    /// The finisher is the second writer: the launcher may have begun to write before it was lost.
    private let writer: OutputFile.Writer

    /// - Returns: `nil` when no report was asked for.
    /// - Throws: when the report could not be written where it is wanted: better now than after the job.
    init?(_ request: RunRequest) throws(UsageError) {
        guard request.reportFile != nil || request.reportDescriptor != nil else { return nil }
        writer = .first
        if let path = request.reportFile {
            words.file += " " + path
            // As everywhere, a dash is standard output.
            let target = path == "-" ? "/dev/stdout" : path
            do { file = try OutputFile(target) } catch { throw Self.refusal(words.file, error) }
        }
        if let number = request.reportDescriptor {
            words.descriptor += " \(number)"
            do { descriptor = try OutputFile(inherited: number) } catch { throw Self.refusal(words.descriptor, error) }
        }
    }

    private static func refusal(_ option: String, _ refusal: PathRefusal) -> UsageError {
        UsageError("\(option): cannot be written: \(refusal.reason); expected \(refusal.accepted)")
    }

    /// - Throws: when the report could not be written everywhere; it is written wherever it could be.
    func write(_ report: Report) throws {
        let bytes = [UInt8](try Self.encode(report))
        var failures: [String] = []
        for (option, output) in [(words.file, file), (words.descriptor, descriptor)] {
            do { try output?.write(bytes, as: writer) } catch {
                failures.append("\(option): the report cannot be written any more: \(Self.reason(error))")
            }
        }
        if !failures.isEmpty { throw UsageError(failures.joined(separator: "; ")) }
    }

    private static func reason(_ error: SystemError) -> String {
        error.errno == .fileTooLarge ? "\(error); raise the limit on files (ulimit -f)" : "\(error)"
    }

    /// The one form of JSON that cgrun writes.
    static func encode(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(value) + Data("\n".utf8)
    }

    // MARK: After a loss

    /// What the launcher writes down for the finisher.
    struct Record: Codable {
        var facts: JobFacts
        /// What the descriptor of `--report` stands for.
        var target: OutputFile.Form?
    }

    /// Prepares the report that the guard has written if this process is lost.
    func recovery(for facts: JobFacts) throws -> LossRecovery {
        let record = try Descriptor.memoryFile(name: "cgrun-record")
        let text = [UInt8](try Self.encode(Record(facts: facts, target: file?.form)))
        do { try record.write(text, path: "cgrun-record") } catch {
            throw UsageError("the report cannot be prepared: \(Self.reason(error))")
        }
        return LossRecovery(
            executable: try Descriptor(opening: "/proc/self/exe", O_RDONLY), record: record,
            report: descriptor?.descriptor, target: file?.descriptor)
    }

    /// For the finisher: where the report goes, as the guard has handed it on.
    init(_ target: OutputFile.Form?, _ job: LostJob) {
        writer = .second
        file = target.flatMap { form in job.target.map { OutputFile(form, $0) } }
        descriptor = job.report.map { OutputFile(.inherited, $0) }
    }
}
