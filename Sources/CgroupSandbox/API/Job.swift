public import Cgroups
public import LinuxSystem
public import SandboxValues
internal import SystemPackage

/// A running job, for concurrent programs: a command in a cgroup of its own, gone when this program is.
///
/// `run` hands one out for as long as it runs; `start` gives one to keep. Dropped, it is stopped. All
/// that it can be asked, it can be asked from any thread, also once it is over.
public final class Job: Sendable {
    let live: LiveJob

    private init(_ live: LiveJob) { self.live = live }

    deinit {
        // Without anybody to take it, the output would make the job wait instead of end.
        live.streams.discardRest()
        live.driver.stop(.caller)
    }

    /// Starts a job. When this returns, the command runs inside its cgroup, every limit has been
    /// read back, and a guard holds what it needs to kill it.
    ///
    /// With `spec.terminal`, input is typed (`.none`: nothing but its end), output holds the errors as
    /// well, and neither can be a file; `error` then is `.discarded` or `.combinedWithOutput`.
    ///
    /// - Throws: why not. Nothing is left behind then.
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

    /// The job's own number, as in its cgroup's name and its report.
    public var id: String { live.driver.id }
    /// The command's pid. It may mean another process once the job is over.
    public var pid: ProcessID { live.driver.pid }
    /// The job's cgroup as an absolute path.
    public var cgroupPath: String { live.driver.cgroupPath }

    // MARK: Asking

    /// What the job uses and has used: at the moment, or in all once it is over. What the machine
    /// does not account for is `nil`.
    public func statistics() -> JobStatistics { live.driver.statistics }

    /// The report; `nil` while the job runs.
    public var report: Report? { live.report }

    /// Waits until the command has ended and nothing is left of its tree. Cancelling the task that
    /// waits stops the job.
    public func waitForEnd() async -> Report {
        await withTaskCancellationHandler {
            await live.waitForEnd()
        } onCancel: {
            live.driver.stop(.cancelled)
        }
    }

    // MARK: Acting

    /// Sends the command a signal, and not what it has started. A job that is over is no error.
    ///
    /// - Throws: `EINVAL` for numbers that are no signal's.
    public func signal(_ signal: Signal) throws(SystemError) { try live.driver.pass(signal) }

    /// Begins to stop the job: stop signal, grace, kill. Returns at once. Said again, the command
    /// gets the signal again.
    public func stop() { live.driver.stop(.caller) }

    /// Kills the whole tree at once.
    public func kill() { live.driver.kill() }

    /// Makes every process in the tree stand still (`cgroup.freeze`, Linux 5.2). Time limits go on. A
    /// job that is being stopped is not frozen any more.
    ///
    /// Returns once they do, or after 10 seconds: a process in an uninterruptible sleep takes longer.
    ///
    /// - Returns: whether they do.
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

    /// Changes the limits that are given, and reads each back; others stay as they are. The report has those that are in
    /// force at the end, and when they were changed.
    ///
    /// - Throws: why one cannot be enforced; those before it are changed then. On hybrid machines a
    ///   job has groups only for the controllers that it was started with, if only with `.max`.
    public func update(limits: Limits) throws(CgroupError) {
        try live.driver.update(limits.resolved())
    }

    // MARK: Streams

    /// What the command writes, with `output: .sequence`; empty otherwise.
    public var standardOutput: OutputSequence { OutputSequence(channel: live.streams.output) }
    /// What the command writes to its standard error, with `error: .sequence`; empty otherwise.
    public var standardError: OutputSequence { OutputSequence(channel: live.streams.error) }

    /// Writes to the command's standard input, with `input: .writer`. Returns once its pipe took everything.
    ///
    /// - Throws: `EPIPE` when the command reads no more.
    public func write(_ bytes: some Sequence<UInt8> & Sendable) async throws(SystemError) {
        guard let input = live.streams.input else {
            throw SystemError("write", path: "standard input", errno: .badFileDescriptor)
        }
        try await input.write(Array(bytes))
    }

    /// Gives the command's terminal another size, of which the command learns by SIGWINCH.
    ///
    /// - Throws: `ENOTTY` when it has none. A job that is over is no error.
    public func resize(to size: PseudoTerminal.Size) throws(SystemError) {
        try live.driver.withTerminal { terminal throws(SystemError) in
            guard let terminal else {
                throw SystemError("resize", path: "job \(id)", errno: .inappropriateIOCTLForDevice)
            }
            try terminal.resize(to: size)
        }
    }

    /// The end of the command's standard input, once everything is written. On a terminal it is typed
    /// (Ctrl-D), and means the end only to programs that read lines.
    public func finishInput() { live.streams.input?.finish() }
}

/// A job's output as it comes, in pieces of no particular size. Each piece goes to one reader.
public struct OutputSequence: AsyncSequence, Sendable {
    public typealias Element = [UInt8]

    let channel: OutputChannel?

    public struct AsyncIterator: AsyncIteratorProtocol {
        let channel: OutputChannel?

        /// `nil` at the end: every writer of the job is gone, or the task was cancelled.
        public mutating func next() async -> [UInt8]? { await channel?.next() }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(channel: channel) }
}
