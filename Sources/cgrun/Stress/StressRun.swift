internal import ArgumentParser
internal import CgroupSandbox
internal import Cgroups
internal import FoundationEssentials
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import Stress
internal import SystemPackage

/// The job of cgrun's in which a suite runs, so that nothing of what is tried outlives it, whatever happens.
enum StressJob {
    /// Runs this program once more, with the same words, in a job.
    ///
    /// - Returns: how to end.
    static func run() throws -> ExitStatus {
        let parent = ThisProcess.parentID
        var template = Array("\(temporary)/cgrun-stress.XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            throw UsageError(
                "TMPDIR \(temporary.asName): \(Errno(rawValue: errno)); expected a directory where you may make files")
        }
        let directory = String(cString: made)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let available = Preflight().findings.filter(\.isAvailable).map(\.subject)
        // To count what is used, and to pass the controllers on to the observers.
        let limits = ["--mem", "--pids"].filter(available.contains).flatMap { [$0, "max"] }
        let program = ThisProcess.executablePath ?? "/proc/self/exe"
        var words = (limits + ["--", program, "stress", "--inside", directory]).map {
            ByteString($0.utf8)!
        }
        words += ThisProcess.arguments.dropFirst(2)
        let request = try RunRequest(parsing: words[...])
        return RunCommand(request: request, parent: parent).run()
    }

    private static var temporary: String {
        let given = ThisProcess.environmentVariable("TMPDIR") ?? ""
        return given.hasPrefix("/") ? given : "/tmp"
    }
}

/// Carries out `cgrun stress`, in its job.
struct StressRun {
    private let plan: StressPlan
    private let markdown: OutputFile?
    private let json: OutputFile?
    /// Whether standard output is for another form of the result.
    private let tableIsError: Bool

    /// - Throws: where a file cannot be written: better now than after the suite.
    init(_ plan: StressPlan, markdown: String?, json: String?) throws {
        self.plan = plan
        tableIsError = [markdown, json].contains("-")
        self.markdown = try Self.output("--markdown", markdown)
        self.json = try Self.output("--json", json)
    }

    private static func output(_ option: String, _ path: String?) throws -> OutputFile? {
        guard let path else { return nil }
        do { return try OutputFile(path == "-" ? "/dev/stdout" : path) } catch {
            throw UsageError("\(option) \(path): cannot be written: \(error.reason); expected \(error.accepted)")
        }
    }

    /// - Returns: what to exit with.
    func run() throws -> Int32 {
        let began = BootTime.now
        var result = StressResult(command: plan.command.map(\.description), machine: try Self.machine())
        let suite: Suite
        do { suite = try Suite(plan) } catch { throw UsageError(error.description) }
        suite.run(&result) { trial, side, finding in
            guard isatty(2) == 1 else { return }
            Console().note(
                "\(trial.rawValue) \(trial.title), \(side.rawValue): \(finding.outcome.word): \(finding.detail)")
        }
        result.seconds = (BootTime.now - began).seconds
        try show(result)
        try markdown?.write(Array(result.markdown.utf8))
        try json?.write([UInt8](ReportOutput.encode(result)))
        if let failure = result.failure { throw UsageError(failure) }
        return result.passed ? 0 : 1
    }

    private func show(_ result: StressResult) throws {
        let isColoured = Console.isColoured(tableIsError ? 2 : 1)
        let lines = result.lines { isColoured ? Self.paint($0, $1) : $1 }
        if tableIsError { return Console().show(lines) }
        for line in lines { print(line) }
        try ThisProcess.flushOutput()
    }

    private static func paint(_ outcome: Finding.Outcome, _ text: String) -> String {
        let colour =
            switch outcome {
            case .passed: "32"
            case .failed: "31"
            case .knownLimit: "33"
            case .notTested: "2"
            }
        return "\u{1B}[\(colour)m\(text)\u{1B}[0m"
    }

    private static func machine() throws -> StressResult.Machine {
        do {
            return StressResult.Machine(
                kernel: Machine.kernelRelease, cgroups: try Hierarchies.current().mode.rawValue,
                processors: Machine.onlineProcessors, cgrun: version)
        } catch { throw UsageError("\(error)") }
    }

    static func readReport(_ path: String) -> Report? {
        (try? Data(contentsOf: URL(filePath: path))).flatMap { try? JSONDecoder().decode(Report.self, from: $0) }
    }

    static func removeDirectory(_ path: String) { try? FileManager.default.removeItem(atPath: path) }
}
