internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

/// The jobs of this process that one guard looks after, and the event loop that drives them.
final class GuardedJobs: Sendable {
    let loop: EventLoop
    let guardian: GuardClient
    /// Whether there is only one job, and the guard ends with it.
    private let areOne: Bool
    /// Whether jobs go on where there is no guard: those of a keeper, which nobody has to end.
    private let mayBeUnguarded: Bool
    private let state = Locked(State())

    private struct State {
        /// The jobs that are not over. A job stays here also when nobody has a handle of it any more.
        var drivers: [String: JobDriver] = [:]
        /// How often no guard could be started.
        var losses = 0
    }

    // No job lives on without a guard, but for that of a keeper, whenever and in whatever thread the guard is lost:
    // - A command starts only after a guard has said that it watches and was told of the job (`GuardClient.arm`).
    // - The loop watches each guard's pidfd from before the guard's first answer, so it sees every guard's end. A guard
    //   that dies later is replaced, under the lock of `GuardClient`, by the loop or by a launch that is faster. The
    //   new guard is told of every registered job, also of those whose command has not started yet.
    // - If no guard can be started, the loop counts a loss and stops all jobs in `drivers`. The count and the jobs have
    //   one lock: a launch that adds its job later finds the count changed, and stops the job. It does not ask whether
    //   there is a guard, since it would have to wait for a thread that is starting one.

    /// - Parameter successor: what the guard becomes if this process is lost; `nil`: it ends the jobs.
    init(_ loop: EventLoop, areOne: Bool, successor: Successor? = nil) throws(LaunchError) {
        self.loop = loop
        self.areOne = areOne
        mayBeUnguarded = successor != nil
        guardian = try GuardClient(GuardProgram())
        if let successor { guardian.succeed(with: successor) }
        guardian.observe(by: loop) { [weak self] in self?.endUnguarded() }
    }

    /// Starts a job, and has the loop look after it.
    ///
    /// - Parameters:
    ///   - watchesCommand: whether the loop notices the command's end; otherwise the caller does.
    ///   - takeWhatIsOurs: called before the loop can end the job: takes what the loop would close then.
    func launch(
        _ prepared: PreparedJob, _ surroundings: PreparedJob.Surroundings, watchesCommand: Bool,
        _ takeWhatIsOurs: (JobDriver) -> Void = { _ in }
    ) throws(LaunchError) -> JobDriver {
        let losses = state.withLock { $0.losses }
        let driver = try prepared.launch(surroundings, self)
        takeWhatIsOurs(driver)
        let wasGuarded = state.withLock { state in
            state.drivers[driver.id] = driver
            return state.losses == losses
        }
        driver.begin(watchesCommand: watchesCommand)
        if !wasGuarded { driver.stop(.guardLost) }
        return driver
    }

    /// Looks after a job that an earlier process has started.
    func adopt(_ driver: JobDriver) {
        state.withLock { $0.drivers[driver.id] = driver }
        driver.begin(watchesCommand: true)
    }

    /// Forgets a job that is over.
    func remove(_ driver: JobDriver) { _ = state.withLock { $0.drivers.removeValue(forKey: driver.id) } }

    /// Has the guard forget a job of which nothing is left, or ends the guard if there was only this job.
    ///
    /// - Parameter number: the guard's number of the job; `nil`: the job was never registered.
    func letGo(of number: UInt64?) {
        if areOne { guardian.dismiss() } else if let number { guardian.forget(number) }
    }

    /// Starts a guard, if there is none. A keeper without one goes on, and tries again later.
    func startGuard() {
        guard guardian.pid == nil else { return }
        do { try guardian.start() } catch { tryAgain() }
    }

    private func tryAgain() { loop.call(at: .now + .seconds(5)) { [weak self] in self?.startGuard() } }

    private func endUnguarded() {
        if mayBeUnguarded { return tryAgain() }
        let drivers = state.withLock { state in
            state.losses += 1
            return Array(state.drivers.values)
        }
        for driver in drivers { driver.stop(.guardLost) }
    }
}
