internal import CgroupSandbox
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import Services
internal import SystemPackage

/// Reads from systemd's journal what a service has written, by journalctl.
final class JournalTail {
    /// What is printed: lines of this identifier which came from the output of a command of these users. Any user may use
    /// any identifier.
    private let matches: [String]
    /// What is added, as journalctl prints it; `nil`: nothing is followed.
    private var added: SharedDescriptor?

    /// Whether journalctl has ended, so that nothing more will come.
    private(set) var isOver = false

    init(of client: ServiceClient) {
        let spec = try? client.directory.order().spec()
        let users = Set([ThisProcess.effectiveUserID, spec?.launch.job.credentials?.uid].compactMap { $0 })
        matches =
            ["SYSLOG_IDENTIFIER=\(LogRules.journalIdentifier(of: client.name))", "_TRANSPORT=stdout"]
            + users.map { "_UID=\($0)" }
    }

    /// The last lines.
    ///
    /// - Parameter time: nothing that was written before it.
    func last(_ count: Int?, since time: Timestamp?) throws -> [UInt8] {
        let output = try Descriptor.memoryFile(name: "journalctl")
        let process = try start(count, time, output.rawValue)
        let status = try process.waitForEnd()
        guard status == .exited(code: 0) else { throw UsageError("journalctl failed: \(status)") }
        return try output.readBytes(path: "the output of journalctl")
    }

    /// Begins to follow what is added. The journalctl that does so ends when nobody reads from it any more.
    ///
    /// - Parameters:
    ///   - count: how many lines that are there already come first; `nil`: all since that time.
    func follow(_ count: Int?, since time: Timestamp?) throws {
        let pipe = try Pipe()
        try pipe.reading.descriptor.setNonblocking()
        _ = try start(count, time, pipe.writing.descriptor.rawValue, isFollowing: true)
        added = pipe.reading
    }

    /// What was added since.
    func more() -> [UInt8] {
        var result: [UInt8] = []
        while let added, !isOver {
            switch added.descriptor.readSome(65536) {
            case .bytes(let bytes): result += bytes
            case .nothingYet: return result
            case .end: isOver = true
            }
        }
        return result
    }

    private func start(
        _ count: Int?, _ time: Timestamp?, _ output: CInt, isFollowing: Bool = false
    ) throws -> ProcessDescriptor {
        var words = ["journalctl", "-q", "-o", "cat"] + matches
        words += ["-n", count.map { "\($0)" } ?? "all"]
        if let time { words.append("--since=@\(Self.seconds(time))") }
        if isFollowing { words.append("-f") }
        guard let path = ExecutableSearch.find(words[0], in: nil) else {
            throw UsageError("journalctl is not found in PATH, and only it can read the journal")
        }
        var program = Program(
            candidates: [path].compactMap { ByteString($0.utf8) },
            arguments: words.compactMap { ByteString($0.utf8) }, environment: ThisProcess.environment)
        let null = try Descriptor(opening: "/dev/null", O_RDONLY)
        program.descriptors = [null.rawValue, output, 2]
        // Ctrl-C ends the services first, which may say something then.
        program.startsSession = true
        do { return try program.start().takeProcess() } catch {
            throw UsageError("cannot execute \(path.asName): \(error.system.errno)")
        }
    }

    /// systemd reads microseconds.
    private static func seconds(_ time: Timestamp) -> String {
        let (whole, rest) = time.sinceEpoch.components
        let digits = "\(rest / 1_000_000_000_000)"
        return "\(whole)." + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }
}
