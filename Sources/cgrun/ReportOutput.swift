internal import CgroupSandbox
internal import FoundationEssentials
internal import Glibc
internal import LinuxSystem

/// Where the report goes.
struct ReportOutput: Codable {
    /// Absolute, so that a guard in another directory means the same file.
    private var path: String?
    private var descriptor: Int32?

    /// - Returns: `nil` when no report was asked for.
    /// - Throws: when it could not be written where it is wanted; better now than after the job.
    init?(_ request: RunRequest) throws {
        guard request.reportFile != nil || request.reportDescriptor != nil else { return nil }
        if let file = request.reportFile {
            let path = file.hasPrefix("/") ? file : (ThisProcess.currentDirectory ?? "") + "/" + file
            let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "/"
            guard access(directory, W_OK) == 0 || access(path, W_OK) == 0, kind(of: path) != .directory else {
                throw UsageError(
                    message:
                        "--report \(file): cannot be written; expected a file in a directory where you may make files")
            }
            // What a link means is replaced, not the link: `--report /dev/stdout` may mean a file.
            let target = realpath(path, nil)
            self.path = target.map { String(cString: $0) } ?? path
            free(target)
        }
        if let descriptor = request.reportDescriptor {
            self.descriptor = descriptor
            // The job has no business with it. Standard streams are the job's, too.
            if descriptor > 2 { try InheritedDescriptor.keepPrivate(descriptor) }
        }
    }

    func write(_ report: Report) throws {
        let data = try Self.encode(report)
        if let descriptor { try write(data, to: descriptor) }
        guard let path else { return }
        if kind(of: path) == .other {
            // A pipe or a device cannot be replaced by a new file in one step.
            try Descriptor(opening: path, O_WRONLY | O_NOCTTY).write([UInt8](data), path: path)
        } else {
            do { try data.write(to: URL(filePath: path), options: .atomic) } catch {
                throw UsageError(message: "--report \(path): the report cannot be written any more")
            }
        }
    }

    private func write(_ data: Data, to descriptor: Int32) throws {
        let copy = dup(descriptor)
        guard copy >= 0 else { throw UsageError(message: "--report-fd \(descriptor): expected an open descriptor") }
        try Descriptor(owning: copy).write([UInt8](data), path: "--report-fd \(descriptor)")
    }

    /// The one form of the report.
    static func encode(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(value) + Data("\n".utf8)
    }

    private enum FileKind { case missing, regular, directory, other }

    private func kind(of path: String) -> FileKind {
        var facts = stat()
        guard lstat(path, &facts) == 0 else { return .missing }
        switch facts.st_mode & S_IFMT {
        case S_IFREG: return .regular
        case S_IFDIR: return .directory
        default: return .other
        }
    }

    // MARK: After a loss

    /// What the guard's `cgrun-finish` reads.
    struct Record: Codable {
        var report: Report
        var output: ReportOutput
    }

    /// Prepares the report that is written should this process be lost.
    func recovery(for report: Report) throws -> LossRecovery {
        let record = try Descriptor.memoryFile(name: "cgrun-record")
        try record.write([UInt8](try Self.encode(Record(report: report, output: self))), path: "cgrun-record")
        return LossRecovery(
            executable: try Descriptor(opening: "/proc/self/exe", O_RDONLY), record: record, report: descriptor)
    }

    /// The descriptor as the guard handed it on.
    mutating func replaceDescriptor(_ descriptor: Int32) {
        if self.descriptor != nil { self.descriptor = descriptor }
    }
}
