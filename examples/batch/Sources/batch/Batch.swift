import ArgumentParser
import CgroupSandbox
import Dispatch
import Foundation

@main
struct Batch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs a command for each file of a directory, some at a time, each within limits.",
        discussion: "In the command, {} stands for the file's path and {/} for its name.")

    @Option(help: "Jobs at a time.") var jobs = ProcessInfo.processInfo.activeProcessorCount
    @Option(help: "Memory of each, such as 512M.", transform: { try Ceiling<MemoryAmount>(parsing: $0) })
    var mem: Ceiling<MemoryAmount>?
    @Option(help: "Processes and threads of each.", transform: { try Ceiling<Int>(parsingCount: $0) })
    var pids: Ceiling<Int>?
    @Option(help: "Seconds of each.") var timeout: Double?
    @Argument(help: "Where the files are.") var directory: String
    @Argument(parsing: .postTerminator, help: "What to run.") var command: [String]

    func validate() throws {
        guard jobs > 0 else { throw ValidationError("--jobs \(jobs): a number above 0") }
        guard timeout ?? 1 > 0 else { throw ValidationError("--timeout \(timeout ?? 0): a number above 0") }
        guard !command.isEmpty else { throw ValidationError("give a command after --") }
    }

    func run() async throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: directory).sorted().filter { name in
            var isDirectory: ObjCBool = false
            let path = "\(directory)/\(name)"
            return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && !isDirectory.boolValue
        }
        let progress = Progress(count: files.count)
        let work = Task { try await runAll(files, progress) }
        // Cancelled, each job gets its stop signal, its grace, and dies.
        let signals = [SIGINT, SIGTERM].map { onSignal($0, work.cancel) }
        defer { for source in signals { source.cancel() } }

        let outcomes = try await work.value
        progress.end()
        printTable(outcomes)
        if work.isCancelled { throw ExitCode(130) }
        if outcomes.contains(where: { !$0.isSuccess }) { throw ExitCode(1) }
    }

    /// - Throws: when a job cannot be started. The others are stopped then.
    private func runAll(_ files: [String], _ progress: Progress) async throws -> [Outcome] {
        try await withThrowingTaskGroup(of: Outcome.self) { group in
            var waiting = files[...]
            var outcomes: [Outcome] = []
            for _ in 0..<jobs { if let file = waiting.popFirst() { group.addTask { try await one(file) } } }
            while let outcome = try await group.next() {
                outcomes.append(outcome)
                progress.show(outcomes)
                if !group.isCancelled, let file = waiting.popFirst() { group.addTask { try await one(file) } }
            }
            outcomes += waiting.map { Outcome(file: $0) }
            return outcomes.sorted { $0.file < $1.file }
        }
    }

    private func one(_ file: String) async throws -> Outcome {
        let words = command.map { word in
            word.replacingOccurrences(of: "{/}", with: file).replacingOccurrences(
                of: "{}", with: "\(directory)/\(file)")
        }
        var limits = Limits()
        limits.memoryMax = mem
        limits.pidsMax = pids
        do {
            let result = try await CgroupSandbox.run(
                .name(words[0]), arguments: Arguments(Array(words.dropFirst())), limits: limits,
                timeout: timeout.map { .seconds($0) }, output: .discarded, error: .string(limit: 4_096))
            return Outcome(file: file, result: result)
        } catch {
            guard error.kind == .cancelled else { throw error }
            return Outcome(file: file)
        }
    }
}

private func onSignal(_ number: CInt, _ body: @escaping @Sendable () -> Void) -> any DispatchSourceSignal {
    signal(number, SIG_IGN)
    let source = DispatchSource.makeSignalSource(signal: number)
    source.setEventHandler(handler: body)
    source.resume()
    return source
}
