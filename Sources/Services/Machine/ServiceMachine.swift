package import LinuxSystem
internal import SandboxValues

/// How a service goes from state to state: when its command is started, started again and given up.
///
/// Events and the time go in; out come the actions to carry out, and the time of the next event `time`. There is no
/// descriptor and no clock in here. The rules are written here and nowhere else.
package struct ServiceMachine: Sendable {
    package enum Event: Sendable, Equatable {
        /// Somebody wants the service to run, now.
        case start
        case stop
        /// Somebody wants the command to be started anew.
        case restart
        /// The answer to `launch`: the command runs.
        case launched
        /// The answer to `launch`: why the command cannot be started.
        case refused(String)
        case ready
        /// The service has given a sign of life.
        case alive
        /// The service says itself that something is wrong with it.
        case unwell
        /// Nothing is left of the command's tree.
        case ended(End)
        /// The deadline may have come.
        case time
    }

    /// How a run of the command ended.
    package struct End: Sendable, Equatable {
        package var isSuccess: Bool
        /// In one line.
        package var text: String
        /// Whether processes are left that do not die: then the command must not be started beside them.
        package var hasSurvivors = false

        package init(isSuccess: Bool, text: String, hasSurvivors: Bool = false) {
            self.isSuccess = isSuccess
            self.text = text
            self.hasSurvivors = hasSurvivors
        }
    }

    package enum Action: Sendable, Equatable {
        /// Start the command. The answer is `launched` or `refused`.
        case launch
        /// Begin to stop the command's tree. `ended` follows.
        case stopJob
        /// Find out whether the service is ready; `ready` may follow.
        case watchReadiness
        /// Write the state down, and tell those who wait.
        case publish
        /// The last action of all: nothing happens any more by itself.
        case finish
    }

    /// What is to become of a service once its tree has ended.
    package enum Intent: Sendable, Equatable, Codable {
        case stop, restart
        /// The service is stopped because of a failure.
        case fail(String)
    }

    /// What a later keeper has to know.
    package struct Memory: Sendable, Equatable, Codable {
        package var state = ServiceState.starting
        package var isReady = false
        package var intent: Intent?
        /// When the command failed, in nanoseconds since boot.
        package var failures: [Int64] = []
        /// How many restarts in a row came before the command had run for long.
        package var streak = 0
        /// How often the command was started, or was to be.
        package var starts = 0
        package var restarts = 0
        /// Whether the command has ever run.
        package var wasLaunched = false
        /// When the command is started again, in nanoseconds since boot.
        package var nextStart: Int64?
        /// Why the service stands where it does.
        package var reason: String?

        package init() {}
    }

    package let rules: RestartRules
    /// How long the service must have run to be ready; `nil`: something else tells.
    private let readyAfter: Duration?
    private let readyTimeout: Duration
    private let watchdog: Duration?
    private var hearsNothing: Bool
    package private(set) var memory: Memory
    private var launchedAt: BootTime?
    /// When the service gave its last sign of life; that it was ready, or was taken over, is one.
    private var heardAt: BootTime?

    package var state: ServiceState { memory.state }

    /// - Parameter hearsNothing: whether the command that runs cannot be heard, so that its silence means nothing.
    package init(_ spec: ServiceSpec, _ memory: Memory = Memory(), hearsNothing: Bool = false) {
        self.hearsNothing = hearsNothing
        rules = spec.restart
        if case .delay(let delay) = spec.readiness { readyAfter = delay } else { readyAfter = nil }
        readyTimeout = spec.readyTimeout
        watchdog = spec.watchdog
        self.memory = memory
    }

    /// When to send the event `time`; `nil`: there is no need to, unless another event changes this.
    package var deadline: BootTime? {
        switch memory.state {
        case .backoff: memory.nextStart.map { BootTime(sinceBoot: .nanoseconds($0)) }
        case .starting: launchedAt.map { $0 + (readyAfter ?? readyTimeout) }
        case .running: hearsNothing ? nil : watchdog.flatMap { watchdog in heardAt.map { $0 + watchdog } }
        default: nil
        }
    }

    /// Begins with a service that nobody has kept before.
    package mutating func begin() -> [Action] { launch() }

    /// Goes on with a service whose command an earlier keeper has started, and which runs.
    package mutating func resume(launchedAt: BootTime, at now: BootTime) -> [Action] {
        self.launchedAt = launchedAt
        heardAt = now
        (memory.nextStart, memory.wasLaunched) = (nil, true)
        if memory.state == .stopping { return [.stopJob] }
        if memory.state == .running { return [.publish] }
        (memory.state, memory.reason) = (.starting, nil)
        return [.watchReadiness, .publish]
    }

    /// - Parameter jitter: from 0 to 1, so that many services that failed at once do not start again at once.
    package mutating func handle(_ event: Event, at now: BootTime, jitter: Double = 0) -> [Action] {
        switch (memory.state, event) {
        case (.starting, .launched):
            launchedAt = now
            memory.wasLaunched = true
            hearsNothing = false
            return [.watchReadiness, .publish]
        case (.starting, .refused(let reason)):
            // What has run before may run again; what never has will not start by itself.
            if !memory.wasLaunched { return settle(.failed, reason) }
            return fail(reason, now, jitter)
        case (.starting, .ready):
            memory.state = .running
            memory.isReady = true
            heardAt = now
            return [.publish]
        case (.running, .alive): heardAt = now
        case (.running, .unwell) where watchdog != nil:
            return stop(.fail("said itself that something is wrong with it"))
        case (.running, .time):
            guard let deadline, deadline <= now else { return [] }
            return stop(.fail("gave no sign of life within \(watchdog?.seconds ?? 0)s (--watchdog)"))
        case (.starting, .time): return checkReadiness(now)
        case (.backoff, .time): return deadline.map { $0 <= now } == true ? launchAgain() : []
        case (.backoff, .start), (.backoff, .restart): return launchAgain()
        case (.backoff, .stop): return settle(.stopped, nil)
        case (.starting, .stop), (.running, .stop): return stop(.stop)
        case (.starting, .restart), (.running, .restart): return stop(.restart)
        case (.stopping, .stop):
            memory.intent = .stop
            return [.publish]
        case (.stopping, .restart), (.stopping, .start):
            memory.intent = .restart
            return [.publish]
        case (_, .ended(let end)) where memory.state.isActive: return conclude(end, now, jitter)
        default: break
        }
        return []
    }

    // MARK: Starting

    private mutating func launch() -> [Action] {
        memory.state = .starting
        memory.isReady = false
        (memory.intent, memory.nextStart, memory.reason) = (nil, nil, nil)
        launchedAt = nil
        memory.starts += 1
        // Published first: a keeper that is lost during the launch has said that it began.
        return [.publish, .launch]
    }

    private mutating func launchAgain() -> [Action] {
        memory.restarts += 1
        return launch()
    }

    private mutating func checkReadiness(_ now: BootTime) -> [Action] {
        guard let deadline, deadline <= now else { return [] }
        if readyAfter != nil { return handle(.ready, at: now) }
        return stop(.fail("was not ready within \(readyTimeout.seconds)s"))
    }

    // MARK: Ending

    private mutating func stop(_ intent: Intent) -> [Action] {
        memory.state = .stopping
        memory.intent = intent
        return [.stopJob, .publish]
    }

    private mutating func conclude(_ end: End, _ now: BootTime, _ jitter: Double) -> [Action] {
        if end.hasSurvivors { return settle(.failed, "processes of it do not die: \(end.text)") }
        if let launchedAt, now - launchedAt >= rules.healthyAfter { memory.streak = 0 }
        switch memory.intent {
        case .stop: return settle(.stopped, nil)
        case .restart: return launch()
        case .fail(let reason): return fail(reason, now, jitter)
        case nil: break
        }
        guard end.isSuccess else { return fail(end.text, now, jitter) }
        // Where somebody has said how to tell that it is ready, an end before that is none of a service that did well.
        if memory.state == .starting, readyAfter == nil {
            return fail("\(end.text) before it was ready", now, jitter)
        }
        return rules.policy == .always ? pause(end.text, now, jitter) : settle(.exited, end.text)
    }

    private mutating func fail(_ reason: String, _ now: BootTime, _ jitter: Double) -> [Action] {
        guard rules.policy != .no else { return settle(.failed, reason) }
        let moment = now.sinceBoot.nanoseconds
        memory.failures = memory.failures.filter { moment - $0 < rules.giveUpWithin.nanoseconds } + [moment]
        if let most = rules.giveUpAfter, memory.failures.count >= most {
            let window = "\(memory.failures.count) times within \(rules.giveUpWithin.seconds)s"
            return settle(.failed, "given up, since it failed \(window); the last time: \(reason)")
        }
        return pause(reason, now, jitter)
    }

    private mutating func pause(_ reason: String, _ now: BootTime, _ jitter: Double) -> [Action] {
        let doubled = rules.firstPause.seconds * Double(1 << min(memory.streak, 30))
        let pause = min(doubled, rules.longestPause.seconds) * (1 - 0.2 * min(max(jitter, 0), 1))
        memory.streak += 1
        memory.state = .backoff
        memory.isReady = false
        memory.intent = nil
        memory.reason = reason
        memory.nextStart = (now + .nanoseconds(Int64(pause * 1e9))).sinceBoot.nanoseconds
        return [.publish]
    }

    private mutating func settle(_ state: ServiceState, _ reason: String?) -> [Action] {
        memory.state = state
        memory.isReady = false
        memory.reason = reason
        (memory.intent, memory.nextStart) = (nil, nil)
        return [.publish, .finish]
    }
}
