internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

/// How a job goes from its command's start to its end: when it is stopped and killed, how long each step may take, and
/// what is done in which order once the command is gone.
///
/// Events and the time go in; out come the actions to carry out, and the time of the next event `time`. There is no
/// descriptor and no clock in here, so every ending can be tested without a kernel. The command line, the library and
/// the finisher run the same machine, by `JobDriver`.
struct JobMachine: Sendable {
    /// What was asked for of one job.
    struct Rules: Sendable {
        var timeout: Duration?
        var cpuTimeout: Duration?
        var stopSignal = Signal.terminate
        /// Between the stop signal and the kill.
        var grace = Duration.seconds(5)
        /// How many processors can use up CPU time at once.
        var processors = 1
    }

    enum Event: Sendable {
        /// The command has ended. `nil`: nobody could learn how.
        case commandEnded(ExitStatus?)
        /// Somebody wants the job to end, or a process is lost that the job may not outlive.
        case stop(StopReason)
        /// The caller wants the whole tree killed at once.
        case kill
        /// The deadline may have come.
        case time
        /// The answer to `readCPUTime`. `nil`: it could not be read.
        case cpuTime(Duration?)
        /// The answer to `look`.
        case tree(TreeEnding.Tree)
        /// The answer to `remove`.
        case removal(succeeded: Bool)
    }

    enum Action: Equatable, Sendable {
        /// Let a frozen tree go on, so that the command can act on its stop signal.
        case thaw
        /// Send the command a signal.
        case signal(Signal)
        case readCPUTime
        /// Kill every process in the tree.
        case kill
        /// Find out whether anything is left in the tree.
        case look
        /// Write down which processes the command has left, unless some are written down already.
        case nameStrays
        /// Write down which processes do not die.
        case nameUnkillable
        /// Read the statistics and make the report, while the cgroups are still there.
        case report
        /// Remove the cgroups.
        case remove
        /// Add to the report that a cgroup is left.
        case noteLeftover
        /// Hand the report out. The guard still watches: if this process is lost now, the guard has the report written.
        case deliver
        /// Give the job's home back, and let go of the guard. The last action of all.
        case release
    }

    private enum Phase: Sendable {
        /// The command runs.
        case running
        /// The command has ended or is given up, and what is left of its tree is being killed.
        case ending(TreeEnding)
        /// The tree is empty, and its cgroups are being removed.
        case removing(TreeEnding)
        case over
    }

    /// How long the kernel gets to end a killed tree. A process in an uninterruptible sleep may take for ever.
    static let patienceAfterKill = Duration.seconds(10)
    private static let removalPatience = Duration.seconds(10)
    private static let longestPause = Duration.milliseconds(20)
    /// The longest pause between looks at a tree that does not die and is waited for.
    private static let longestPauseOfOutlasting = Duration.seconds(1)
    private static let removalPatienceOfOutlasting = Duration.seconds(30)
    private static let shortestPauseOfCPUTime = Duration.milliseconds(5)

    private let rules: Rules
    /// Whether this is the finisher. It is not told of the command's end. After the report is out, it waits for a tree
    /// that does not die, for as long as that takes: a launcher leaves such a tree to its guard; the finisher has none.
    private let isFinishing: Bool
    private var phase = Phase.running
    private var cpuTimeIsDue: BootTime?
    private var isReported = false

    /// Taken before the command could run, so that a launcher that is slow does not give the command more time.
    let startedAt: BootTime
    /// When to send the event `time`; `nil`: there is no need to, unless another event changes this.
    private(set) var deadline: BootTime?
    /// Who wants the job to end, and how far the stop has got.
    private(set) var stop: Stop?
    private(set) var killedAt: BootTime?
    /// When the command ended, or was given up.
    private(set) var endedAt: BootTime?
    private(set) var status: ExitStatus?
    /// Whether the tree was killed while processes were in it.
    private(set) var wroteKill = false
    /// From the command's end, or the kill, to an empty tree; `nil` while it is not empty.
    private(set) var emptyAfter: Duration?

    var isRunning: Bool { if case .running = phase { true } else { false } }
    var isOver: Bool { if case .over = phase { true } else { false } }
    /// A job that is being stopped must be able to act on its stop signal.
    var mayBeFrozen: Bool { isRunning && stop == nil }
    /// Whether the driver has frozen the tree.
    var isFrozen = false

    /// For a command that runs.
    init(_ rules: Rules, startedAt: BootTime) {
        self.rules = rules
        isFinishing = false
        self.startedAt = startedAt
        if let limit = rules.cpuTimeout { cpuTimeIsDue = startedAt + soonest(limit) }
        updateDeadline()
    }

    /// For a job that its guard has killed after a loss. `begin` is the first thing to call then.
    init(finishing reason: StopReason, at now: BootTime) {
        rules = Rules()
        isFinishing = true
        startedAt = now
        stop = Stop(reason: reason, escalated: true)
        (killedAt, wroteKill) = (now, true)
    }

    /// Begins to end a job of the finisher's. For a launcher there is nothing to begin: the command's end is an event.
    mutating func begin(at now: BootTime) -> [Action] { isRunning && isFinishing ? end(nil, now) : [] }

    mutating func handle(_ event: Event, at now: BootTime) -> [Action] {
        let actions = respond(to: event, now)
        if isRunning { updateDeadline() }
        return actions
    }

    private mutating func respond(to event: Event, _ now: BootTime) -> [Action] {
        switch (phase, event) {
        case (.running, .commandEnded(let status)): end(status, now)
        case (.running, .stop(let reason)): stop(reason, now)
        case (.running, .kill): kill(now)
        case (.running, .time): checkTime(now)
        case (.running, .cpuTime(let used)): checkCPUTime(used, now)
        case (.ending(let ending), .tree(let tree)): proceed(ending, tree, now)
        case (.ending, .time): deadline.map { $0 <= now } == true ? look() : []
        case (.removing(let ending), .removal(let succeeded)): proceed(ending, removed: succeeded, now)
        case (.removing, .time): deadline.map { $0 <= now } == true ? removeAgain() : []
        // An event that comes too late changes nothing.
        default: []
        }
    }

    // MARK: Stopping

    private mutating func stop(_ reason: StopReason, _ now: BootTime) -> [Action] {
        if stop == nil {
            stop = Stop(reason: reason)
        } else if !reason.isGraceful {
            // A loss explains the end better than a request that came before it.
            stop?.reason = reason
        }
        guard reason.isGraceful, rules.grace > .zero, stop?.escalated != true else { return kill(now) }
        if stop?.killAt == nil {
            stop?.signal = rules.stopSignal
            stop?.grace = rules.grace
            stop?.killAt = now + rules.grace
        }
        let thaw: [Action] = isFrozen ? [.thaw] : []
        isFrozen = false
        // A stopped command cannot act on anything but SIGCONT.
        return thaw + [.signal(rules.stopSignal), .signal(.continue)]
    }

    /// - Returns: what kills the tree, because of the stop that has begun, or for the caller.
    private mutating func kill(_ now: BootTime) -> [Action] {
        if stop == nil { stop = Stop(reason: .caller) }
        stop?.escalated = true
        stop?.killAt = nil
        if killedAt == nil { killedAt = now }
        wroteKill = true
        return [.kill]
    }

    // MARK: Time

    private mutating func checkTime(_ now: BootTime) -> [Action] {
        if let killedAt {
            // The command survives SIGKILL, and may never end: the tree is given up, and reported.
            return now - killedAt >= Self.patienceAfterKill ? end(nil, now) : []
        }
        if let killAt = stop?.killAt { return killAt <= now ? kill(now) : [] }
        guard stop == nil else { return [] }
        if let timeout = rules.timeout, startedAt + timeout <= now { return stop(.timeoutWall, now) }
        if let cpuTimeIsDue, cpuTimeIsDue <= now { return [.readCPUTime] }
        return []
    }

    private mutating func checkCPUTime(_ used: Duration?, _ now: BootTime) -> [Action] {
        guard let limit = rules.cpuTimeout, stop == nil else { return [] }
        let left = limit - (used ?? .zero)
        if left <= .zero { return stop(.timeoutCPU, now) }
        cpuTimeIsDue = now + soonest(left)
        return []
    }

    /// How soon so much CPU time can be used up.
    private func soonest(_ left: Duration) -> Duration {
        max(left / max(1, rules.processors), Self.shortestPauseOfCPUTime)
    }

    private mutating func updateDeadline() {
        if let killedAt {
            deadline = killedAt + Self.patienceAfterKill
        } else if stop != nil {
            deadline = stop?.killAt
        } else {
            let wall = rules.timeout.map { startedAt + $0 }
            deadline = [wall, cpuTimeIsDue].compactMap { $0 }.min()
        }
    }

    // MARK: The end of the tree

    /// - Parameter status: `nil` for a command that is given up, or whose end nobody could learn.
    private mutating func end(_ status: ExitStatus?, _ now: BootTime) -> [Action] {
        self.status = status
        endedAt = now
        let bounds = TreeEnding.Bounds(
            death: Self.patienceAfterKill, removal: Self.removalPatience, longestPause: Self.longestPause)
        // A command that is given up has had its time since it was killed.
        phase = .ending(TreeEnding(bounds, since: status == nil ? killedAt ?? now : now))
        return look()
    }

    private mutating func look() -> [Action] {
        deadline = nil
        return [.look]
    }

    private mutating func proceed(_ ending: TreeEnding, _ tree: TreeEnding.Tree, _ now: BootTime) -> [Action] {
        var ending = ending
        let step = ending.next(tree, at: now)
        phase = .ending(ending)
        var actions: [Action] = []
        if tree == .populated, status != nil { actions.append(.nameStrays) }
        switch step {
        case .kill(let pause):
            if tree == .populated { wroteKill = true }
            deadline = now + pause
            return actions + [.kill]
        case .remove:
            emptyAfter = now - (killedAt ?? endedAt ?? now)
            phase = .removing(ending)
            return actions + report() + removeAgain()
        case .giveUp:
            guard !isReported else { return release() }
            let story: [Action] = actions + [.nameUnkillable] + report() + [.deliver]
            guard isFinishing else { return story + release() }
            isReported = true
            let bounds = TreeEnding.Bounds(
                death: nil, removal: Self.removalPatienceOfOutlasting, longestPause: Self.longestPauseOfOutlasting)
            phase = .ending(TreeEnding(bounds, since: now))
            deadline = now + Self.longestPause
            return story
        }
    }

    private mutating func proceed(_ ending: TreeEnding, removed: Bool, _ now: BootTime) -> [Action] {
        var ending = ending
        let pause = removed ? nil : ending.pauseAfterFailedRemoval(at: now)
        phase = .removing(ending)
        // Cgroups that cannot be removed now are left to the next sweep.
        guard let pause else {
            let story: [Action] = removed ? [.deliver] : [.noteLeftover, .deliver]
            return (isReported ? [] : story) + release()
        }
        deadline = now + pause
        // Somebody may have moved a process in meanwhile.
        return [.kill]
    }

    private mutating func removeAgain() -> [Action] {
        deadline = nil
        return [.remove]
    }

    private func report() -> [Action] { isReported ? [] : [.report] }

    private mutating func release() -> [Action] {
        phase = .over
        deadline = nil
        return [.release]
    }
}
