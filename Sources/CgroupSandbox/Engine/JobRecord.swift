internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// A job as the event loop drives it, from its start until nothing is left of it, whether
/// somebody waits for it or not.
final class JobRecord: Sendable {
    let id: String
    let pid: ProcessID
    let cgroupPath: String
    let streams: JobStreams
    private let runtime: JobRuntime
    var loop: EventLoop { runtime.loop }
    private let state: Locked<State>

    private struct State: ~Copyable, Sendable {
        /// `nil` once the job is over.
        var job: LaunchedJob?
        /// As it will be, once the cgroups are removed as well.
        var draft: Report?
        var report: Report?
        var statistics: JobStatistics?
        var waiters: [CheckedContinuation<Report, Never>] = []
        /// Called once the job is over.
        var subscribers: [UInt64: @Sendable () -> Void] = [:]
        var lastSubscriber: UInt64 = 0
        var endWatch: UInt64?
        var timer: UInt64?
        var isFrozen = false
        /// Set once the command has ended, or is given up.
        var end: TreeEnd?
        var lookAgainAfter = Duration.microseconds(50)
        var removalAttempts = 0

        init(_ job: consuming LaunchedJob) { self.job = consume job }
    }

    private init(_ job: consuming LaunchedJob, _ streams: JobStreams, _ runtime: JobRuntime) {
        id = job.id
        pid = job.pid
        cgroupPath = job.cgroupPath
        self.streams = streams
        self.runtime = runtime
        state = Locked(State(job))
    }

    /// Starts a job and lets the event loop look after it.
    static func start(_ spec: JobSpec, _ plan: consuming StreamPlan) throws(LaunchError) -> JobRecord {
        let runtime = try JobRuntime.shared()
        let losses = runtime.guardLosses
        let job = try runtime.launch(spec, streams: plan.childDescriptors(null: runtime.null.rawValue))
        let terminal = job.terminal
        let record = JobRecord(job, plan.takeStreams(terminal), runtime)
        let isGuarded = runtime.add(record, since: losses)
        record.streams.begin()
        record.begin()
        if !isGuarded { record.stop(.guardLost) }
        return record
    }

    private func begin() {
        state.withLock { state in
            guard let descriptor = state.job?.main.descriptor.rawValue else { return }
            state.endWatch = try? runtime.loop.watch(descriptor, for: .reading) { self.commandEnded() }
            // No room in the kernel for one more watch: better no job than one without an end.
            if state.endWatch == nil { state.job?.stop(.guardLost) }
            schedule(&state)
        }
    }

    // MARK: Waiting

    /// Returns once nothing is left of the job.
    func waitForEnd() async -> Report {
        await withCheckedContinuation { continuation in
            let report = state.withLock { state in
                if state.report == nil { state.waiters.append(continuation) }
                return state.report
            }
            if let report { continuation.resume(returning: report) }
        }
    }

    var report: Report? { state.withLock { $0.report } }

    /// Has the body called once the job is over, or at once if it is.
    func whenOver(_ body: @escaping @Sendable () -> Void) -> UInt64 {
        let (id, isOver) = state.withLock { state in
            state.lastSubscriber += 1
            if state.report == nil { state.subscribers[state.lastSubscriber] = body }
            return (state.lastSubscriber, state.report != nil)
        }
        if isOver { body() }
        return id
    }

    func forgetSubscriber(_ id: UInt64) { _ = state.withLock { $0.subscribers.removeValue(forKey: id) } }

    // MARK: Asking

    /// Gives access to the cgroup.
    ///
    /// - Returns: `nil` once the job is over.
    func withCgroup<Result: Sendable, Failure: Error>(
        _ body: (borrowing JobCgroup, Report) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        try state.withLock { state throws(Failure) in
            switch state.job {
            case .some(let job): try body(job.cgroup, job.report)
            case .none: nil
            }
        }
    }

    /// As of now, or of the moment when the tree was empty.
    var statistics: JobStatistics {
        state.withLock { state in
            switch state.job {
            case .some(let job): job.cgroup.statistics(.current)
            case .none: state.statistics ?? JobStatistics()
            }
        }
    }

    // MARK: Acting

    /// Sends the command a signal. A job that is over is no error.
    func send(_ signal: Signal) throws(SystemError) {
        try state.withLock { state throws(SystemError) in
            guard state.end == nil else { return }
            switch state.job {
            case .some(let job): try job.main.send(signal)
            case .none: break
            }
            state.job?.state.signals.forwarded.append(signal)
        }
    }

    /// - Throws: `ENOTTY` without a terminal. A job that is over is no error.
    func resize(to size: PseudoTerminal.Size) throws(SystemError) {
        try state.withLock { state throws(SystemError) in
            switch state.job {
            case .some(let job):
                guard let terminal = job.terminal else {
                    throw SystemError("resize", path: "job \(id)", errno: .inappropriateIOCTLForDevice)
                }
                try terminal.resize(to: size)
            case .none: break
            }
        }
    }

    func stop(_ reason: StopReason) {
        state.withLock { state in
            guard state.end == nil, state.job != nil else { return }
            if state.isFrozen { try? Self.setFrozen(false, &state) }
            state.job?.stop(reason)
            schedule(&state)
        }
    }

    /// Kills the whole tree at once.
    func kill() {
        state.withLock { state in
            guard state.end == nil, state.job != nil else { return }
            state.job?.kill(.caller)
            schedule(&state)
        }
    }

    func setFrozen(_ isFrozen: Bool) throws(SystemError) {
        try state.withLock { state throws(SystemError) in
            // One that is being stopped has to be able to act on its signal.
            guard state.end == nil, state.job?.state.stop == nil || !isFrozen else { return }
            try Self.setFrozen(isFrozen, &state)
        }
    }

    private static func setFrozen(_ isFrozen: Bool, _ state: inout State) throws(SystemError) {
        switch state.job {
        case .some(let job): try job.cgroup.setFrozen(isFrozen)
        case .none: return
        }
        state.isFrozen = isFrozen
    }

    // MARK: The event loop's

    /// Looks at the job again when the next of its time limits is reached.
    private func schedule(_ state: inout State) {
        if let timer = state.timer { runtime.loop.cancel(timer) }
        state.timer = nil
        guard state.end == nil, state.job != nil else { return }
        var next = state.job?.enforceTimeLimits()
        if let killed = state.job?.state.killedAt { next = killed + LaunchedJob.patienceAfterKill + .milliseconds(1) }
        if let next { state.timer = runtime.loop.call(at: next) { self.timeHasCome() } }
    }

    private func timeHasCome() {
        let isGivenUp = state.withLock { state in
            state.timer = nil
            schedule(&state)
            return state.job?.isGivenUp == true
        }
        if isGivenUp { commandEnded() }
    }

    private func commandEnded() {
        state.withLock { state in
            guard state.end == nil, let descriptor = state.job?.main.descriptor.rawValue else { return }
            if let watch = state.endWatch { runtime.loop.unwatch(watch, descriptor) }
            if let timer = state.timer { runtime.loop.cancel(timer) }
            (state.endWatch, state.timer) = (nil, nil)
            if state.job?.isGivenUp == false || state.job?.main.hasEnded == true { state.job?.noteEnd() }
            state.end = TreeEnd()
        }
        endTree()
    }

    /// Kills and removes what is left, as far as it goes without waiting, and comes back for the rest.
    private func endTree() {
        let report = state.withLock { state -> Report? in
            guard state.draft != nil || advance(&state), let draft = state.draft else { return nil }
            guard let end = state.end, !end.isGone || remove(&state), let job = state.job.take() else { return nil }
            job.release(draft, end)
            return draft
        }
        guard let report else { return lookAgain() }
        // Nobody is left to write, but for processes that never belonged to the job.
        streams.end()
        runtime.remove(self)
        let (waiters, subscribers) = state.withLock { state in
            state.report = report
            defer { (state.waiters, state.subscribers) = ([], [:]) }
            return (state.waiters, Array(state.subscribers.values))
        }
        for waiter in waiters { waiter.resume(returning: report) }
        for subscriber in subscribers { subscriber() }
    }

    /// - Returns: whether the tree is empty, or given up, and its story told.
    private func advance(_ state: inout State) -> Bool {
        guard var end = state.end.take() else { return false }
        defer { state.end = end }
        switch state.job {
        case .some(let job):
            guard end.advance(job.cgroup, commandEnded: job.state.status != nil) else { return false }
            let statistics = job.cgroup.statistics(.everything)
            state.statistics = statistics
            state.draft = job.conclude(end, statistics, .everything)
            return true
        case .none: return false
        }
    }

    private func remove(_ state: inout State) -> Bool {
        switch state.job {
        case .some(let job):
            if (try? job.cgroup.remove()) != nil { return true }
        case .none: return true
        }
        // What cannot be removed now is the guard's or the next sweep's.
        state.removalAttempts += 1
        return state.removalAttempts > TreeEnd.removalAttempts
    }

    private func lookAgain() {
        let pause = state.withLock { state in
            defer { state.lookAgainAfter = min(state.lookAgainAfter * 2, .milliseconds(20)) }
            return state.lookAgainAfter
        }
        runtime.loop.call(at: .now + pause) { self.endTree() }
    }
}
