internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// A job of this program's, with its streams and those who wait for its end.
final class LiveJob: Sendable {
    let driver: JobDriver
    let streams: JobStreams
    private let jobs: GuardedJobs
    private let state = Locked(State())

    private struct State {
        /// `nil` while the job is not over.
        var report: Report?
        /// Called once the job is over.
        var subscribers: [UInt64: @Sendable (Report) -> Void] = [:]
        var lastSubscriber: UInt64 = 0
    }

    var loop: EventLoop { jobs.loop }

    /// Starts a job and lets the event loop look after it.
    static func start(_ spec: JobSpec, _ plan: consuming StreamPlan) throws(LaunchError) -> LiveJob {
        let runtime = try JobRuntime.shared()
        // The loop may end a short job before `launch` returns, and would close its terminal with the output in it.
        var terminal: PseudoTerminal?
        let driver = try runtime.launch(spec, streams: plan.childDescriptors(null: runtime.null.rawValue)) {
            terminal = $0.terminal
        }
        let live = LiveJob(driver, plan.takeStreams(terminal), runtime.jobs)
        live.streams.begin()
        // The closure keeps this object alive until the job is over, whether anybody waits for it or not.
        driver.setWhenOver { report in live.isOver(report) }
        return live
    }

    private init(_ driver: JobDriver, _ streams: JobStreams, _ jobs: GuardedJobs) {
        self.driver = driver
        self.streams = streams
        self.jobs = jobs
    }

    private func isOver(_ report: Report) {
        // No process of the job is left that could write; nobody waits for other processes that may.
        streams.end()
        jobs.remove(driver)
        let subscribers = state.withLock { state in
            state.report = report
            defer { state.subscribers = [:] }
            return state.subscribers.values
        }
        for subscriber in subscribers { subscriber(report) }
    }

    /// Returns once nothing is left of the job.
    func waitForEnd() async -> Report {
        await withCheckedContinuation { continuation in
            _ = whenOver { continuation.resume(returning: $0) }
        }
    }

    var report: Report? { state.withLock { $0.report } }

    /// Has the body called once the job is over, or at once if it is over already.
    func whenOver(_ body: @escaping @Sendable (Report) -> Void) -> UInt64 {
        let (id, report) = state.withLock { state in
            state.lastSubscriber += 1
            if state.report == nil { state.subscribers[state.lastSubscriber] = body }
            return (state.lastSubscriber, state.report)
        }
        if let report { body(report) }
        return id
    }

    func forgetSubscriber(_ id: UInt64) { _ = state.withLock { $0.subscribers.removeValue(forKey: id) } }
}
