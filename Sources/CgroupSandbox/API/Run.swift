internal import Cgroups
public import LinuxSystem
public import SandboxValues
public import SystemPackage

/// How a run ended, and what came out of it.
public struct JobResult<Output: Sendable, ErrorOutput: Sendable>: Sendable {
    /// Everything about the end, the limits and the use of resources; the command line's JSON when encoded.
    public var report: Report
    /// What the command wrote, as `output` asked for it.
    public var standardOutput: Output
    /// The same of its standard error, as `error` asked for it.
    public var standardError: ErrorOutput
    /// Whether there was more output than was asked for.
    public var isOutputTruncated: Bool
    /// Whether there were more errors than were asked for.
    public var isErrorTruncated: Bool

    /// The command's own end; `nil` when it could not be learnt, or did not come.
    public var terminationStatus: ExitStatus? {
        if let code = report.exitCode { return .exited(code: code) }
        return report.signal.map { .signaled(Signal(rawValue: $0.number), coreDumped: report.coreDumped) }
    }

    /// The command exited with 0, and by itself; and with `JobSpec.failsOnOOM`, no process of the tree was killed for
    /// want of memory.
    public var isSuccess: Bool { report.cause == .normal && report.launcherExitCode == 0 }
}

/// Runs a command in a cgroup of its own and waits until nothing is left of it.
///
/// What it leaves behind is killed when it ends; it is killed with all its descendants when this
/// program dies, however that happens. Cancelling the task stops it: SIGTERM, five seconds of
/// grace, kill. The result says `cancelled` then.
///
/// ```swift
/// let result = try await run(.name("convert"), arguments: ["in.png", "out.webp"],
///     limits: limits, output: .discarded, error: .string(limit: 4096))
/// ```
///
/// - Parameters:
///   - executable: a name that is looked up in the job's `PATH`, or a path.
///   - arguments: without the program's name.
///   - environment: all of it; `CGRUN_JOB_ID` is added.
///   - workingDirectory: `nil` keeps this program's.
///   - limits: what the whole tree may use.
///   - timeout: wall clock time, suspend included; then the command is stopped.
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

/// Runs what a specification says and waits until nothing is left of it.
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
/// When the body returns, its value is kept until the command has ended, and what it did not read of
/// the output is dropped; when it throws, the command is stopped. In both cases this returns once nothing is left.
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

/// Runs what a specification says, with a live job for as long as it runs.
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
