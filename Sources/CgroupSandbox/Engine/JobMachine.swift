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
        /// Whether a stop asks the whole tree, and gives it the grace, and not only the command.
        var stopsAll = false
        /// Whether what the command leaves is asked to end, and has the grace, before it is killed.
        var asksStrays = false
        /// Whether what the command leaves may go on until it ends by itself.
        var waitsForAll = false
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
        /// The guard has killed the tree, since this process had not when the job's time was over.
        case killedByGuard
        /// Somebody else has sent every process the stop signal, as a manager does that stops the job's unit.
        case askedElsewhere
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
        /// Send every other process of the tree a signal, and have those go on that are stopped.
        case signalTree(Signal)
        case readCPUTime
        /// Kill every process in the tree.
        case kill
        /// Find out whether anything is left in the tree.
        case look
        /// Write down which processes the command has left, unless some are written down already.
        case nameStrays
        /// Write down which processes have not ended by the end of the grace.
        case nameBlocking
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

    enum Phase: Sendable {
        /// The command runs.
        case running
        /// The command has ended, and what is left of its tree has time to end by itself.
        case lingering(Lingering)
        /// The command has ended or is given up, and what is left of its tree is being killed.
        case ending(TreeEnding)
        /// The tree is empty, and its cgroups are being removed.
        case removing(TreeEnding)
        case over
    }

    /// How long the kernel gets to end a killed tree. A process in an uninterruptible sleep may take for ever.
    static let patienceAfterKill = Duration.seconds(10)
    private static let shortestPauseOfCPUTime = Duration.milliseconds(5)

    let rules: Rules
    /// Whether this is the finisher. It is not told of the command's end. After the report is out, it waits for a tree
    /// that does not die, for as long as that takes: a launcher leaves such a tree to its guard; the finisher has none.
    let isFinishing: Bool
    var phase = Phase.running
    private var cpuTimeIsDue: BootTime?
    /// Whether somebody else has asked the whole tree to end.
    private(set) var wasAskedElsewhere = false
    var isReported = false

    /// Taken before the command could run, so that a launcher that is slow does not give the command more time.
    let startedAt: BootTime
    /// When to send the event `time`; `nil`: there is no need to, unless another event changes this.
    var deadline: BootTime?
    /// Who wants the job to end, and how far the stop has got.
    var stop: Stop?
    var killedAt: BootTime?
    /// When the command ended, or was given up.
    var endedAt: BootTime?
    var status: ExitStatus?
    /// Whether the tree was killed while processes were in it.
    var wroteKill = false
    /// From the command's end, or the kill, to an empty tree; `nil` while it is not empty.
    var emptyAfter: Duration?

    var hasCommand: Bool { if case .running = phase { true } else { false } }
    /// Whether the command, or what it has left, may go on for now.
    var isRunning: Bool {
        switch phase {
        case .running, .lingering: true
        case .ending, .removing, .over: false
        }
    }
    var isOver: Bool { if case .over = phase { true } else { false } }
    /// Who is being stopped, or asked to end, must be able to act on the signal.
    var mayBeFrozen: Bool {
        if case .lingering(let lingering) = phase, lingering.killAt != nil { return false }
        return isRunning && stop == nil
    }
    /// When the job is over at the latest, if this process acts in time; `nil` while nothing says so.
    var endsBy: BootTime? {
        guard isRunning, killedAt == nil else { return nil }
        return stop?.killAt ?? rules.timeout.map { startedAt + $0 + max(.zero, rules.grace) }
    }
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
    mutating func begin(at now: BootTime) -> [Action] { isRunning && isFinishing ? giveUp(now) : [] }

    mutating func handle(_ event: Event, at now: BootTime) -> [Action] {
        let actions = respond(to: event, now)
        if isRunning { updateDeadline() }
        return actions
    }

    private mutating func respond(to event: Event, _ now: BootTime) -> [Action] {
        switch (phase, event) {
        case (.running, .commandEnded(let status)): endCommand(status, now)
        case (.running, .stop(let reason)), (.lingering, .stop(let reason)): stop(reason, now)
        case (.running, .kill), (.lingering, .kill): kill(now)
        case (.running, .killedByGuard), (.lingering, .killedByGuard): kill(now, .timeoutWall)
        case (.running, .askedElsewhere): noteAsked()
        case (.running, .time), (.lingering, .time): checkTime(now)
        case (.running, .cpuTime(let used)), (.lingering, .cpuTime(let used)): checkCPUTime(used, now)
        case (.lingering(let lingering), .tree(let tree)): linger(lingering, tree, now)
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
            stop = Stop(reason: reason, isForStrays: !hasCommand)
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
        var actions: [Action] = isFrozen ? [.thaw] : []
        isFrozen = false
        // A stopped command cannot act on anything but SIGCONT.
        if hasCommand { actions += [.signal(rules.stopSignal), .signal(.continue)] }
        if rules.stopsAll || !hasCommand { actions.append(.signalTree(rules.stopSignal)) }
        return actions
    }

    /// - Returns: what kills the tree, because of the stop that has begun, or for the caller.
    private mutating func kill(_ now: BootTime, _ reason: StopReason = .caller) -> [Action] {
        if stop == nil { stop = Stop(reason: reason, isForStrays: !hasCommand) }
        stop?.escalated = true
        stop?.killAt = nil
        if killedAt == nil { killedAt = now }
        wroteKill = true
        return hasCommand ? [.kill] : [.nameStrays, .kill] + beginEnding(now)
    }

    private mutating func noteAsked() -> [Action] {
        wasAskedElsewhere = true
        return []
    }

    // MARK: Time

    private mutating func checkTime(_ now: BootTime) -> [Action] {
        if let killedAt {
            // The command survives SIGKILL, and may never end: the tree is given up, and reported.
            return now - killedAt >= Self.patienceAfterKill ? giveUp(now) : []
        }
        if let killAt = stop?.killAt {
            if killAt <= now { return [.nameBlocking] + kill(now) }
        } else if stop == nil {
            if let timeout = rules.timeout, startedAt + timeout <= now { return stop(.timeoutWall, now) }
            if let cpuTimeIsDue, cpuTimeIsDue <= now { return [.readCPUTime] }
        }
        if case .lingering(let lingering) = phase { return checkLingering(lingering, now) }
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
            return
        }
        var moments = [stop?.killAt]
        if stop == nil { moments += [rules.timeout.map { startedAt + $0 }, cpuTimeIsDue] }
        if case .lingering(let lingering) = phase {
            moments += [stop == nil ? lingering.killAt : nil, lingering.lookAt]
        }
        deadline = moments.compactMap { $0 }.min()
    }
}
