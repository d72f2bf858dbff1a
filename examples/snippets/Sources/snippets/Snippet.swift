import CgroupSandbox
import Glibc
import Hummingbird

/// What is asked for in a query, within what the server allows.
struct Snippet {
    static let interpreters = ["python3": ["-I", "-"], "sh": ["-s"]]
    static let mostBytes = 64 << 10
    static let mostOutput = 64 << 10

    var interpreter: String
    var memory = 64 << 20
    var processes = 16
    var seconds = 5

    /// - Throws: 400 for what is unknown or above the server's caps.
    init(_ query: Parameters) throws {
        interpreter = query["interpreter"].map(String.init) ?? "python3"
        guard Self.interpreters[interpreter] != nil else {
            throw HTTPError(.badRequest, message: "interpreter: \(Self.interpreters.keys.sorted())")
        }
        memory = try Self.number("memory", query, memory, 8 << 20...256 << 20)
        processes = try Self.number("processes", query, processes, 1...64)
        seconds = try Self.number("seconds", query, seconds, 1...10)
    }

    private static func number(
        _ name: Substring, _ query: Parameters, _ standard: Int, _ accepted: ClosedRange<Int>
    ) throws -> Int {
        guard let text = query[name] else { return standard }
        guard let value = Int(text), accepted.contains(value) else {
            throw HTTPError(
                .badRequest, message: "\(name): a number from \(accepted.lowerBound) to \(accepted.upperBound)")
        }
        return value
    }

    /// Runs a program text; when the task is cancelled, the job is stopped.
    func run(_ text: [UInt8]) async throws(LaunchError) -> Answer {
        var spec = try JobSpec(
            .name(interpreter), arguments: Arguments(Self.interpreters[interpreter] ?? []),
            environment: .custom(["PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"]))
        spec.limits.memoryMax = .value(.bytes(UInt64(memory)))
        spec.limits.pidsMax = .value(processes)
        spec.timeout = .seconds(seconds)
        spec.grace = .milliseconds(100)
        spec.workingDirectory = "/"
        // Not this server's own user, who may write to cgroups and kill the server.
        if geteuid() == 0 { spec.credentials = Credentials(uid: 65534, gid: 65534, supplementaryGroups: []) }
        let result = try await CgroupSandbox.run(
            spec, input: .bytes(text), output: .string(limit: Self.mostOutput), error: .string(limit: Self.mostOutput))
        return Answer(result)
    }
}

/// What the client gets as JSON.
struct Answer: ResponseEncodable {
    var status: String
    var exitCode: Int32?
    var signal: String?
    /// Why it ended, and how sure that is.
    var cause: String
    var confidence: String
    var explanation: String?
    var output: String
    var error: String
    var isTruncated: Bool
    var seconds: Double?
    var memoryPeakBytes: UInt64?
    /// What the limits were when they were read back.
    var processesMax: Int?
    var memoryMaxBytes: UInt64?

    init(_ result: JobResult<String, String>) {
        let report = result.report
        status = report.result.rawValue
        exitCode = report.exitCode
        signal = report.signal?.name
        cause = report.cause.rawValue
        confidence = report.confidence.rawValue
        explanation = report.explanation
        output = result.standardOutput
        error = result.standardError
        isTruncated = result.isOutputTruncated || result.isErrorTruncated
        seconds = report.wallSeconds
        memoryPeakBytes = report.memory.peakBytes
        processesMax = report.limits.resources.pidsMax?.value
        memoryMaxBytes = report.limits.resources.memoryMax?.value?.bytes
    }
}
