public import Cgroups
public import LinuxSystem
public import SandboxValues
internal import SystemPackage

/// A running job, for concurrent programs: a command in a cgroup of its own, which is killed when this program dies.
///
/// `run` lends a job to its body; `start` hands one over to the caller. A job to which nobody has a reference any more
/// is stopped. Every method may be called from any thread, also once the job is over.
public final class Job: Sendable {
    let live: LiveJob

    private init(_ live: LiveJob) { self.live = live }

    deinit {
        // Nobody reads the output any more: a full pipe would keep the command from ending.
        live.streams.discardRest()
        live.driver.stop(.caller)
    }

    /// Starts a job. When this returns, the command runs inside its cgroup, every limit has been read back, and the
    /// guard can kill the job.
    ///
    /// With `spec.terminal`, the input and its end are typed on the terminal. The errors come with the output, so
    /// `error` is `.discarded` or `.combinedWithOutput`. Neither input nor output can be a file then.
    ///
    /// - Throws: why the job did not start. Nothing of it is left then.
    public static func start(
        _ spec: JobSpec, input: JobInput = .none, output: OutputDestination = .discarded,
        error: OutputDestination = .discarded
    ) throws(LaunchError) -> Job {
        let loop = try JobRuntime.shared().jobs.loop
        let plan =
            spec.terminal == nil
            ? try StreamPlan(input, output, error, loop) : try StreamPlan(onTerminal: input, output, error, loop)
        return Job(try LiveJob.start(spec, plan))
    }

    /// The job's ID, as in its cgroup's name and its report.
    public var id: String { live.driver.id }
    /// The command's pid. It may mean another process once the job is over.
    public var pid: ProcessID { live.driver.pid }
    /// The job's cgroup as an absolute path.
    public var cgroupPath: String { live.driver.cgroupPath }

    // MARK: Asking

    /// What the job uses and has used so far; once it is over, what it used in all. What the machine does not count is
    /// `nil`.
    public func statistics() -> JobStatistics { live.driver.statistics }

    /// The report; `nil` while the job runs.
    public var report: Report? { live.report }

    /// Waits until the command has ended and nothing is left of its tree. Cancelling the task that waits stops the job.
    public func waitForEnd() async -> Report {
        await withTaskCancellationHandler {
            await live.waitForEnd()
        } onCancel: {
            live.driver.stop(.cancelled)
        }
    }

    // MARK: Acting

    /// Sends a signal to the command, but not to the processes that it has started. A job that is over is no error.
    ///
    /// - Throws: `EINVAL` for a number that no signal has.
    public func signal(_ signal: Signal) throws(SystemError) { try live.driver.pass(signal) }

    /// Begins to stop the job: stop signal, grace, kill. Returns at once. A second call only sends the stop signal
    /// again.
    public func stop() { live.driver.stop(.caller) }

    /// Kills the whole tree at once.
    public func kill() { live.driver.kill() }

    /// Freezes every process in the tree (`cgroup.freeze`, Linux 5.2), and returns once all stand still, or after 10
    /// seconds: a process in an uninterruptible sleep takes longer. Time limits go on. A job that is over or being
    /// stopped is not frozen, which is no error.
    ///
    /// - Returns: whether all processes stand still, or the job is over.
    @discardableResult
    public func freeze() async throws(SystemError) -> Bool {
        try live.driver.setFrozen(true)
        for _ in 0..<10_000 {
            if live.driver.withCgroup({ cgroup, _ in cgroup.isFrozen }) ?? true { return true }
            do { try await Task.sleep(for: .milliseconds(1)) } catch { return false }
        }
        return false
    }

    /// Lets a frozen job go on.
    public func thaw() throws(SystemError) { try live.driver.setFrozen(false) }

    /// Changes the given limits, and reads each back; other limits stay. The report has the limits that are in force at
    /// the end, and when they were changed last.
    ///
    /// - Throws: why a limit cannot be enforced; limits that were written before it stay changed. On hybrid machines a
    ///   job can only get limits of controllers for which it had a limit at its start; `.max` is enough.
    public func update(limits: Limits) throws(CgroupError) {
        try live.driver.update(limits.resolved())
    }

    // MARK: Streams

    /// What the command writes, with `output: .sequence`; empty otherwise.
    public var standardOutput: OutputSequence { OutputSequence(channel: live.streams.output) }
    /// What the command writes to its standard error, with `error: .sequence`; empty otherwise.
    public var standardError: OutputSequence { OutputSequence(channel: live.streams.error) }

    /// Writes to the command's standard input, with `input: .writer`. Returns once the pipe has taken all bytes.
    ///
    /// - Throws: `EPIPE` when nobody reads the input any more, `EBADF` where the job has no such input.
    public func write(_ bytes: some Sequence<UInt8> & Sendable) async throws(SystemError) {
        guard let input = live.streams.input else {
            throw SystemError("write", path: "standard input", errno: .badFileDescriptor)
        }
        try await input.write(Array(bytes))
    }

    /// Gives the command's terminal another size, of which the command learns by SIGWINCH.
    ///
    /// - Throws: `ENOTTY` when the command has no terminal of its own. A job that is over is no error.
    public func resize(to size: PseudoTerminal.Size) throws(SystemError) {
        try live.driver.withTerminal { terminal throws(SystemError) in
            guard let terminal else {
                throw SystemError("resize", path: "job \(id)", errno: .inappropriateIOCTLForDevice)
            }
            try terminal.resize(to: size)
        }
    }

    /// Ends the command's standard input, once everything is written. On a terminal the end is typed (Ctrl-D), and only
    /// programs that read lines take it for the end.
    public func finishInput() { live.streams.input?.finish() }
}

/// A job's output as it comes, in pieces of no particular size. Each piece goes to one reader.
public struct OutputSequence: AsyncSequence, Sendable {
    public typealias Element = [UInt8]

    let channel: OutputChannel?

    public struct AsyncIterator: AsyncIteratorProtocol {
        let channel: OutputChannel?

        /// The next piece; `nil` when every writer of the job is gone, or the task was cancelled.
        public mutating func next() async -> [UInt8]? { await channel?.next() }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(channel: channel) }
}
