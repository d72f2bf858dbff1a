internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

/// The jobs of this process that one guard looks after, and the event loop that drives them.
final class GuardedJobs: Sendable {
    let loop: EventLoop
    let guardian: GuardClient
    /// Whether there is only one job, and the guard ends with it.
    private let areOne: Bool
    private let state = Locked(State())

    private struct State {
        /// The jobs that are not over; a handle that was dropped ends nothing by itself.
        var drivers: [String: JobDriver] = [:]
        /// How often there was no guard to be had.
        var losses = 0
    }

    // No job lives on without a guard, whoever loses it and when:
    // - A command starts only after a guard has said that it watches, and was told of the job (`GuardClient.arm`).
    // - The loop watches each guard's pidfd from before its first answer. One that died before is ready at once;
    //   one that dies later is replaced, under the lock of `GuardClient`, by the loop or by a launch that was faster,
    //   and the new one is told of every job that is registered, those on their way to their start included.
    // - Where that fails, in whatever thread, the loop counts a loss and stops all jobs of which it has a record.
    //   Count and records have one lock: a job that is added later finds the count changed, and is stopped by its
    //   launch. Nobody asks whether there is a guard again: who asks would wait for who starts one.

    init(_ loop: EventLoop, areOne: Bool) throws(LaunchError) {
        self.loop = loop
        self.areOne = areOne
        guardian = try GuardClient(GuardProgram())
        guardian.observe(by: loop) { [weak self] in self?.endUnguarded() }
    }

    /// Starts a job, and has the loop look after it.
    ///
    /// - Parameters:
    ///   - watchesCommand: whether the loop notices the command's end, rather than whoever called this.
    ///   - takeWhatIsOurs: takes from the job what is gone once it is over, which may be as soon as this returns.
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

    /// A job is over.
    func remove(_ driver: JobDriver) { _ = state.withLock { $0.drivers.removeValue(forKey: driver.id) } }

    /// Lets go of the guard for a job of which nothing is left.
    ///
    /// - Parameter number: `nil` for one that was never registered.
    func letGo(of number: UInt64?) {
        if areOne { guardian.dismiss() } else if let number { guardian.forget(number) }
    }

    private func endUnguarded() {
        let drivers = state.withLock { state in
            state.losses += 1
            return Array(state.drivers.values)
        }
        for driver in drivers { driver.stop(.guardLost) }
    }
}
