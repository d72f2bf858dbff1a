import CgroupSandbox
import FoundationEssentials
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

/// Somebody's directory, in which root has a report written, and a file of root's that is not to be written.
struct ReportScene {
    let harness: Harness
    /// The job's to change, and that of whoever else has its uid.
    let home: String
    /// Where the report goes, in `home`.
    let out: String
    /// Of whoever runs cgrun alone, with the victim in it.
    let own: String

    /// Somebody else than who runs cgrun, where that can be.
    static let other: UInt32 = Capability.isRoot ? 65534 : geteuid()

    init() throws {
        harness = try Harness()
        (home, out, own) = (harness.path("home"), harness.path("home/out"), harness.path("own"))
        for path in [home, out, own] { try #require(mkdir(path, 0o755) == 0) }
        for path in [home, out] { try #require(chown(path, Self.other, .max) == 0) }
    }

    var report: String { out + "/r.json" }

    func link(_ path: String, to target: String, owner: UInt32 = other) throws {
        try #require(symlink(target, path) == 0 && lchown(path, owner, .max) == 0)
    }

    func facts(_ path: String) throws -> stat {
        var facts = stat()
        try #require(lstat(path, &facts) == 0, "\(path)")
        return facts
    }

    func mode(_ path: String) throws -> UInt32 { try facts(path).st_mode & 0o7777 }
    func kind(_ path: String) throws -> UInt32 { try facts(path).st_mode & S_IFMT }
    func names(in directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
    }

    /// Whether the launcher with this pid is writing a report into `own`: there is a file with a temporary name, or the
    /// launcher has one open without a name, as most file systems allow.
    func isBeingWritten(by launcher: ProcessID) throws -> Bool {
        if try names(in: own) != ["r.json"] { return true }
        return (3..<20).contains { readLink("/proc/\(launcher)/fd/\($0)")?.hasPrefix(own + "/#") == true }
    }

    /// A file that only its owner may read or write, and how it was before.
    final class Victim {
        let path: String
        private let before: [UInt64]

        init(_ path: String) throws {
            self.path = path
            try Data("secret".utf8).write(to: URL(filePath: path))
            try #require(chmod(path, 0o600) == 0)
            before = try Self.state(path)
        }

        private static func state(_ path: String) throws -> [UInt64] {
            var facts = stat()
            try #require(lstat(path, &facts) == 0, "\(path)")
            return [UInt64(facts.st_ino), UInt64(facts.st_mode), UInt64(facts.st_uid), UInt64(facts.st_nlink)]
        }

        func expectUntouched(location: SourceLocation = #_sourceLocation) throws {
            #expect(try Self.state(path) == before, sourceLocation: location)
            #expect(try readTextFile(path) == "secret", sourceLocation: location)
            let directory = String(path.dropLast("/victim".count))
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: directory) == ["victim"],
                sourceLocation: location)
        }
    }

    func victim() throws -> Victim { try Victim(own + "/victim") }

    /// Runs a job of somebody else's, which a script is the all of, and ends it or its launcher.
    func run(
        _ script: String, isLost: Bool, exitCode: Int = 0, _ options: [String] = [],
        meanwhile: () throws -> Void = {}, location: SourceLocation = #_sourceLocation
    ) throws -> Outcome {
        let credentials = Capability.isRoot ? ["--uid", "\(Self.other)", "--gid", "\(Self.other)"] : []
        let wait = "while ! test -e \(harness.path("go")); do sleep 0.01; done"
        let options = options.isEmpty ? ["--report", report] : options
        let job = try harness.startCgrun(
            options + credentials + ["--", "sh", "-c", "\(script); echo done; \(wait)"])
        try job.waitForOutput("done\n")
        try meanwhile()
        if isLost { job.send(.kill) } else { _ = try harness.writeFile("go", "") }
        let outcome = try job.end()
        if !isLost { #expect(outcome.exitCode == exitCode, "\(outcome.errors)", sourceLocation: location) }
        try harness.expectNothingLeft(within: .seconds(20))
        return outcome
    }

    /// - Parameter isLost: then whoever writes it may be at it still: while the guard becomes that program, its
    ///   environment, by which tests find it, is empty for a moment.
    func expectReport(
        _ file: String, isLost: Bool = false, location: SourceLocation = #_sourceLocation
    ) throws {
        if isLost { try eventually("a report in \(file)") { (try? harness.report(file)) != nil } }
        #expect(try kind(file) == S_IFREG, sourceLocation: location)
        #expect(try harness.report(file).cause == (isLost ? .launcherLost : .normal), sourceLocation: location)
    }

    func expectRefused(
        _ file: String, _ reason: String, location: SourceLocation = #_sourceLocation
    ) throws {
        let outcome = try harness.cgrun("--report", file, "--", "echo", "ran")
        #expect(outcome.exitCode == 125, "\(outcome)", sourceLocation: location)
        #expect(outcome.output == "", sourceLocation: location)
        #expect(outcome.errors.hasPrefix("cgrun: --report \(file): cannot be written: "), sourceLocation: location)
        #expect(outcome.errors.contains(text: reason), "\(outcome.errors)", sourceLocation: location)
        #expect(outcome.errors.filter { $0 == "\n" }.count == 1, sourceLocation: location)
        try harness.expectNothingLeft()
    }
}
