internal import Cgroups
public import LinuxSystem
public import SandboxValues
public import SystemPackage

/// How a run ended, and what came out of it.
public struct JobResult<Output: Sendable, ErrorOutput: Sendable>: Sendable {
    /// What became of the job. Encoded as JSON, it is what `cgrun --report` writes.
    public var report: Report
    /// What the command wrote to its standard output, in the form that `output` asked for.
    public var standardOutput: Output
    /// What the command wrote to its standard error, in the form that `error` asked for.
    public var standardError: ErrorOutput
    /// Whether output was dropped, since there was more than the limit of `output`.
    public var isOutputTruncated: Bool
    /// Whether errors were dropped, since there was more than the limit of `error`.
    public var isErrorTruncated: Bool

    /// How the command ended; `nil` where nobody could learn it, or where the command did not end.
    public var terminationStatus: ExitStatus? {
        if let code = report.exitCode { return .exited(code: code) }
        return report.signal.map { .signaled(Signal(rawValue: $0.number), coreDumped: report.coreDumped) }
    }

    /// Whether the command exited with 0 without being stopped, and, with `JobSpec.failsOnOOM`, no process of its tree
    /// was killed for want of memory.
    public var isSuccess: Bool { report.cause == .normal && report.launcherExitCode == 0 }
}

/// Runs a command in a cgroup of its own and waits until nothing is left of it.
///
/// Processes that the command leaves behind are killed when it ends. The whole tree is killed when this program dies,
/// however that happens. Cancelling the task stops the command: SIGTERM, five seconds of grace, kill. Then the report
/// says `cancelled`.
///
/// ```swift
/// let result = try await run(.name("convert"), arguments: ["in.png", "out.webp"],
///     limits: limits, output: .discarded, error: .string(limit: 4096))
/// ```
///
/// - Parameters:
///   - executable: a name that is looked up in the job's `PATH`, or a path.
///   - arguments: without the program's name.
///   - environment: the command's whole environment; `CGRUN_JOB_ID` is added.
///   - workingDirectory: where the command starts; `nil`: in this program's working directory.
///   - limits: what the whole tree may use.
///   - timeout: how long the command may run, in wall clock time with suspend included; then it is stopped.
///   - terminal: a pseudo-terminal for the command; see `Job.start` for what that means to the streams.
///   - input: what the command reads.
///   - output: what becomes of the standard output.
///   - error: what becomes of the standard error.
/// - Throws: why the command did not start. How it ended is never an error.
public func run<Output: OutputMethod, ErrorOutput: OutputMethod>(
    _ executable: Executable, arguments: Arguments = [], environment: Environment = .inherit,
    workingDirectory: FilePath? = nil, limits: Limits = Limits(), timeout: Duration? = nil,
    terminal: PseudoTerminal.Settings? = nil, input: JobInput = .none, output: Output,
    error: ErrorOutput = .discarded
) async throws(LaunchError) -> JobResult<Output.Value, ErrorOutput.Value> {
    let spec = try JobSpec(executable, arguments, environment, workingDirectory, limits, timeout, terminal)
    return try await run(spec, input: input, output: output, error: error)
}

/// Runs the command of a specification in a cgroup of its own, and waits until nothing is left of the job.
///
/// - Throws: why the command did not start. How it ended is never an error.
public func run<Output: OutputMethod, ErrorOutput: OutputMethod>(
    _ spec: JobSpec, input: JobInput = .none, output: Output, error: ErrorOutput = .discarded
) async throws(LaunchError) -> JobResult<Output.Value, ErrorOutput.Value> {
    let job = try startUnlessCancelled(spec, input, output.destination, error.destination)
    return JobResult(await job.waitForEnd(), of: job, output, error)
}

/// Runs a command in a cgroup of its own, with a live job for as long as it runs.
///
/// Once the body has returned, the output that it has not read is dropped, and the command goes on until it ends. If
/// the body throws, the command is stopped. In both cases this returns once nothing is left of the job.
///
/// - Throws: `LaunchError` when the command did not start, and what the body throws.
@discardableResult
public func run<Output: OutputMethod, ErrorOutput: OutputMethod, Value>(
    _ executable: Executable, arguments: Arguments = [], environment: Environment = .inherit,
    workingDirectory: FilePath? = nil, limits: Limits = Limits(), timeout: Duration? = nil,
    terminal: PseudoTerminal.Settings? = nil, input: JobInput = .none, output: Output = .sequence,
    error: ErrorOutput = .discarded, isolation: isolated (any Actor)? = #isolation, body: (Job) async throws -> Value
) async throws -> (value: Value, result: JobResult<Output.Value, ErrorOutput.Value>) {
    let spec = try JobSpec(executable, arguments, environment, workingDirectory, limits, timeout, terminal)
    return try await run(spec, input: input, output: output, error: error, isolation: isolation, body: body)
}

/// Runs the command of a specification, with a live job for as long as it runs.
///
/// - Throws: `LaunchError` when the command did not start, and what the body throws.
@discardableResult
public func run<Output: OutputMethod, ErrorOutput: OutputMethod, Value>(
    _ spec: JobSpec, input: JobInput = .none, output: Output = .sequence, error: ErrorOutput = .discarded,
    isolation: isolated (any Actor)? = #isolation, body: (Job) async throws -> Value
) async throws -> (value: Value, result: JobResult<Output.Value, ErrorOutput.Value>) {
    let job = try startUnlessCancelled(spec, input, output.destination, error.destination)
    return try await withTaskCancellationHandler {
        let value: Value
        do { value = try await body(job) } catch {
            job.live.streams.discardRest()
            job.stop()
            _ = await job.waitForEnd()
            throw error
        }
        job.live.streams.discardRest()
        return (value, JobResult(await job.waitForEnd(), of: job, output, error))
    } onCancel: {
        job.live.driver.stop(.cancelled)
    }
}

private func startUnlessCancelled(
    _ spec: JobSpec, _ input: JobInput, _ output: OutputDestination, _ error: OutputDestination
) throws(LaunchError) -> Job {
    guard !Task.isCancelled else { throw LaunchError(.cancelled, "the task was cancelled before the job could start") }
    return try Job.start(spec, input: input, output: output, error: error)
}

extension JobResult {
    init<O: OutputMethod, E: OutputMethod>(
        _ report: Report, of job: Job, _ output: O, _ error: E
    ) where O.Value == Output, E.Value == ErrorOutput {
        let written = job.live.streams.output?.captured ?? (bytes: [], isTruncated: false)
        let errors = job.live.streams.error?.captured ?? (bytes: [], isTruncated: false)
        self.init(
            report: report, standardOutput: output.value(of: written.bytes),
            standardError: error.value(of: errors.bytes), isOutputTruncated: written.isTruncated,
            isErrorTruncated: errors.isTruncated)
    }
}

extension JobSpec {
    fileprivate init(
        _ executable: Executable, _ arguments: Arguments, _ environment: Environment, _ workingDirectory: FilePath?,
        _ limits: Limits, _ timeout: Duration?, _ terminal: PseudoTerminal.Settings?
    ) throws(LaunchError) {
        try self.init(executable, arguments: arguments, environment: environment)
        self.workingDirectory = try workingDirectory.map { path throws(LaunchError) in
            try ByteStringSource.string(path.string).byteString("the working directory")
        }
        self.limits = limits
        self.timeout = timeout
        self.terminal = terminal
    }
}
