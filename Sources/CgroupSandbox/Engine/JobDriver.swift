internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// Drives one job by its `JobMachine`: tells the machine what happens, and does what it says.
///
/// Handlers run in the thread of the event loop. In a program with other jobs they wait for nothing.
final class JobDriver: Sendable {
    let id: String
    let pid: ProcessID
    let cgroupPath: String
    /// Whether the command leads a session without a terminal, so that it cannot type into that of this process.
    let isApart: Bool
    /// Whether the command's standard input is this process's terminal nevertheless.
    let readsTerminal: Bool
    let loop: EventLoop
    private let state: Locked<State>

    private struct State: ~Copyable {
        var machine: JobMachine
        var facts: JobFacts
        /// Released when the job is over, as are `command`, `home`, `jobs`, `parent` and `terminal`.
        var cgroup: JobCgroup?
        /// `nil` in the finisher.
        var command: CommandProcess?
        var home: (any JobHome)?
        var jobs: GuardedJobs?
        /// The number by which the guard knows the job.
        var number: UInt64?
        var parent: ParentWatch?
        /// The command's own terminal, if it has one.
        var terminal: PseudoTerminal?
        var story = Story()
        var detail = JobCgroup.Detail.everything
        var statistics: JobStatistics?
        var report: Report?
        var deliver: @Sendable (Report) -> Void = { _ in }
        /// `nil` before it is set, and once it was called.
        var whenOver: (@Sendable (Report) -> Void)?
        var watchesCommand = true
        var commandWatch: UInt64?
        var parentWatch: UInt64?
        var timer: (id: UInt64, at: BootTime)?

        init(_ machine: JobMachine, _ facts: JobFacts, _ cgroup: consuming JobCgroup) {
            self.machine = machine
            self.facts = facts
            self.cgroup = consume cgroup
        }
    }

    /// What the driver has seen, for the report.
    private struct Story: Sendable {
        var signals = SignalLog()
        var strays: [Report.ProcessInfo] = []
        var unkillable: [Report.ProcessInfo] = []
        /// Why the last look at the tree failed.
        var blindness: SystemError?
    }

    private final class CommandProcess: Sendable {
        let process: ProcessDescriptor
        var descriptor: CInt { process.descriptor.rawValue }
        init(_ process: consuming ProcessDescriptor) { self.process = process }
    }

    /// A job whose command runs.
    init(
        _ spec: JobSpec, _ facts: JobFacts, _ cgroup: consuming JobCgroup, _ main: consuming ProcessDescriptor,
        _ home: any JobHome, _ number: UInt64, _ jobs: GuardedJobs, _ parent: ParentWatch?,
        terminal: PseudoTerminal?, session: OwnSession?, startedAt: BootTime
    ) {
        id = facts.id
        pid = main.pid
        cgroupPath = cgroup.path
        isApart = session != nil
        readsTerminal = session?.readsTerminal == true
        loop = jobs.loop
        let rules = JobMachine.Rules(
            timeout: spec.timeout, cpuTimeout: spec.cpuTimeout, stopSignal: spec.stopSignal, grace: spec.grace,
            processors: Machine.onlineProcessors)
        var state = State(JobMachine(rules, startedAt: startedAt), facts, cgroup)
        state.command = CommandProcess(main)
        (state.home, state.jobs, state.number) = (home, jobs, number)
        (state.parent, state.terminal) = (parent, terminal)
        self.state = Locked(state)
    }

    /// For the finisher: a job that its guard has killed.
    init(finishing facts: JobFacts, _ cgroup: consuming JobCgroup, because reason: StopReason, _ loop: EventLoop) {
        id = facts.id
        pid = 0
        cgroupPath = cgroup.path
        (isApart, readsTerminal) = (false, false)
        self.loop = loop
        var facts = facts
        facts.cgroup = cgroup.path
        state = Locked(State(JobMachine(finishing: reason, at: .now), facts, cgroup))
    }

    /// Sets who gets the report while the guard still watches, and how much the report is to tell.
    func setDelivery(_ detail: JobCgroup.Detail, _ deliver: @escaping @Sendable (Report) -> Void) {
        state.withLock { ($0.detail, $0.deliver) = (detail, deliver) }
    }

    /// Sets what is called, once, when the job is over.
    func setWhenOver(_ body: @escaping @Sendable (Report) -> Void) { change { $0.whenOver = body } }

    /// Begins to look after the job.
    ///
    /// - Parameter watchesCommand: whether the loop notices the command's end; otherwise the caller has to tell it.
    func begin(watchesCommand: Bool) {
        change { state in
            state.watchesCommand = watchesCommand
            do throws(SystemError) { try watch(&state) } catch {
                // The kernel has no room for one more watch: better no job than one whose end nobody notices.
                run(.stop(.guardLost), &state)
            }
            perform(state.machine.begin(at: .now), &state)
        }
    }

    private func watch(_ state: inout State) throws(SystemError) {
        if state.watchesCommand, let command = state.command {
            state.commandWatch = try loop.watch(command.descriptor, for: .reading) { [weak self] in self?.tellEnd() }
        }
        if let parent = state.parent?.descriptor {
            state.parentWatch = try loop.watch(parent, for: .reading) { [weak self] in self?.parentIsLost() }
        }
    }
}

// MARK: - Asking

extension JobDriver {
    var isRunning: Bool { state.withLock { $0.machine.isRunning } }
    var isBeingStopped: Bool { state.withLock { $0.machine.stop != nil } }
    /// `nil` while the job is not over.
    var finalReport: Report? { state.withLock { $0.machine.isOver ? $0.report : nil } }
    var guardPID: ProcessID? { state.withLock { $0.jobs?.guardian.pid } }
    /// What the launch did besides what was planned, for people.
    var notes: [String] { state.withLock { $0.home?.notes ?? [] } }

    /// As of now; once the report is made, as of then.
    var statistics: JobStatistics {
        state.withLock { state in
            if let statistics = state.statistics { return statistics }
            switch state.cgroup {
            case .some(let cgroup): return cgroup.statistics(.current)
            case .none: return JobStatistics()
            }
        }
    }

    /// Gives access to the cgroup and the facts of the job.
    ///
    /// - Returns: `nil` once the job is over.
    func withCgroup<Result: Sendable, Failure: Error>(
        _ body: (borrowing JobCgroup, JobFacts) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        try state.withLock { state throws(Failure) in
            switch state.cgroup {
            case .some(let cgroup): try body(cgroup, state.facts)
            case .none: nil
            }
        }
    }

    var terminal: PseudoTerminal? { state.withLock { $0.terminal } }

    /// Hands the command's terminal over to the caller, who closes it.
    func takeTerminal() -> PseudoTerminal? { state.withLock { $0.terminal.take() } }

    /// Gives access to the command's terminal, unless the job is over.
    func withTerminal<Failure: Error>(_ body: (PseudoTerminal?) throws(Failure) -> Void) throws(Failure) {
        try state.withLock { state throws(Failure) in
            if state.cgroup != nil { try body(state.terminal) }
        }
    }
}

// MARK: - Acting

extension JobDriver {
    /// Begins to stop the job, or to end it for a loss.
    func stop(_ reason: StopReason) {
        change { state in
            // If the parent is lost, the guard may have killed the command for that: then it did not end by itself.
            if reason != .parentLost, settle(&state) { return }
            run(.stop(reason), &state)
        }
    }

    private func parentIsLost() {
        change { state in
            // The pidfd of a dead parent stays readable: the loop would call until the command has died.
            unwatchParent(&state)
            run(.stop(.parentLost), &state)
        }
    }

    /// Kills the whole tree at once.
    func kill() { change { state in if !settle(&state) { run(.kill, &state) } } }

    /// Sends the command a signal from outside. A job that is over is no error.
    func pass(_ signal: Signal) throws(SystemError) {
        try state.withLock { state throws(SystemError) in
            guard state.machine.isRunning else { return }
            try state.command?.process.send(signal)
            state.story.signals.forwarded.append(signal)
        }
    }

    /// Takes note of signals that the command has from its terminal.
    func note(fromTerminal signals: [Signal]) { state.withLock { $0.story.signals.fromTerminal += signals } }
    /// Takes note of a signal that was passed on.
    func note(forwarded signal: Signal) { state.withLock { $0.story.signals.forwarded.append(signal) } }

    /// Sends a signal to the process group that the command leads.
    func sendToGroup(_ signal: Signal) {
        state.withLock { state in
            if state.machine.isRunning { state.command?.process.sendToGroup(signal) }
        }
    }

    /// Makes every process in the tree stand still, or go on. A job that is being stopped goes on.
    func setFrozen(_ isFrozen: Bool) throws(SystemError) {
        try state.withLock { state throws(SystemError) in
            guard isFrozen ? state.machine.mayBeFrozen : state.machine.isRunning else { return }
            switch state.cgroup {
            case .some(let cgroup): try cgroup.setFrozen(isFrozen)
            case .none: return
            }
            state.machine.isFrozen = isFrozen
        }
    }

    /// Changes the limits that are given, and reads each back.
    func update(_ limits: ResolvedLimits) throws(CgroupError) {
        try state.withLock { state throws(CgroupError) in
            guard state.cgroup != nil else { return }
            try state.cgroup?.update(limits, mode: state.facts.hierarchy ?? .unified)
            state.facts.limits.resources.adopt(limits.values)
            state.facts.limits.changedAt = Timestamp.now.text
        }
    }
}

// MARK: - The command's end

extension JobDriver {
    /// Whether the command was stopped or continued, or has ended, of which this tells the machine. For SIGCHLD.
    func commandChange() -> ProcessDescriptor.Change? {
        var change: ProcessDescriptor.Change?
        self.change { state in
            guard state.machine.isRunning else { return }
            change = try? state.command?.process.change()
            if case .ended(let status) = change { tellEnd(status, &state) }
        }
        return change
    }

    /// To be called when the command's pidfd is readable.
    func tellEnd() { change { state in tellEndIfThere(&state) } }

    /// The command's pidfd; -1 once the job is over.
    var descriptor: CInt { state.withLock { $0.command?.descriptor ?? -1 } }

    /// Tells the machine if the command has ended by now: then it ended by itself, whatever happens to the job next.
    ///
    /// - Returns: whether the command has ended.
    private func settle(_ state: inout State) -> Bool {
        guard state.machine.isRunning, state.command?.process.hasEnded == true else { return false }
        if state.watchesCommand { tellEndIfThere(&state) }
        return true
    }

    private func tellEndIfThere(_ state: inout State) {
        guard state.machine.isRunning, state.command?.process.hasEnded == true else { return }
        let change = try? state.command?.process.change()
        let status: ExitStatus? = if case .ended(let status) = change { status } else { nil }
        tellEnd(status, &state)
    }

    private func tellEnd(_ status: ExitStatus?, _ state: inout State) {
        // The guard watches the parent, too, and may have killed the command for the parent's loss.
        if state.parent?.isLost == true { run(.stop(.parentLost), &state) }
        run(.commandEnded(status), &state)
    }
}

// MARK: - The machine

extension JobDriver {
    /// Changes the state, and calls `whenOver` if the job is over then.
    private func change(_ body: (inout State) -> Void) {
        let over = state.withLock { state -> (@Sendable (Report) -> Void, Report)? in
            body(&state)
            guard state.machine.isOver, let report = state.report, let whenOver = state.whenOver.take() else {
                return nil
            }
            return (whenOver, report)
        }
        if let (whenOver, report) = over { whenOver(report) }
    }

    private func run(_ event: JobMachine.Event, _ state: inout State) {
        perform(state.machine.handle(event, at: .now), &state)
    }

    /// - Parameter deadline: the time of the timer that has come. The loop may call for a timer just after it was
    ///   cancelled: then `state.timer` is another one, and must stay.
    private func timeHasCome(_ deadline: BootTime) {
        change { state in
            if state.timer?.at == deadline { state.timer = nil }
            if !settle(&state) { run(.time, &state) }
        }
    }

    private func perform(_ actions: [JobMachine.Action], _ state: inout State) {
        // Watches end first: `release`, the last of the actions, closes what they watch.
        if !state.machine.isRunning { unwatch(&state) }
        var actions = actions[...]
        while let action = actions.popFirst() {
            if let answer = perform(action, &state) { actions += state.machine.handle(answer, at: .now) }
        }
        schedule(&state)
    }

    private func schedule(_ state: inout State) {
        guard state.machine.deadline != state.timer?.at else { return }
        if let timer = state.timer { loop.cancel(timer.id) }
        state.timer = state.machine.deadline.map { deadline in
            (loop.call(at: deadline) { [weak self] in self?.timeHasCome(deadline) }, deadline)
        }
    }

    /// Ends the watches, whose descriptors must not be closed before.
    private func unwatch(_ state: inout State) {
        if let watch = state.commandWatch.take(), let command = state.command {
            loop.unwatch(watch, command.descriptor)
        }
        unwatchParent(&state)
    }

    private func unwatchParent(_ state: inout State) {
        if let watch = state.parentWatch.take(), let parent = state.parent?.descriptor { loop.unwatch(watch, parent) }
    }

    /// - Returns: what came of the action, for the machine; `nil`: nothing that it needs to know.
    private func perform(_ action: JobMachine.Action, _ state: inout State) -> JobMachine.Event? {
        switch action {
        case .signal(let signal): try? state.command?.process.send(signal)
        case .deliver: if let report = state.report { state.deliver(report) }
        case .release: release(&state)
        case .report:
            let end = end(of: state)
            state.statistics = end.statistics
            state.report = Report(factsAtTheEnd(state), end)
        case .thaw, .readCPUTime, .kill, .look, .nameStrays, .nameUnkillable, .remove:
            switch state.cgroup {
            case .some(let cgroup): return Self.perform(action, cgroup, &state.story)
            case .none: break
            }
        }
        return nil
    }

    private static func perform(
        _ action: JobMachine.Action, _ cgroup: borrowing JobCgroup, _ story: inout Story
    ) -> JobMachine.Event? {
        switch action {
        case .thaw: try? cgroup.setFrozen(false)
        case .readCPUTime: return .cpuTime(cgroup.cpuTime)
        case .kill: try? cgroup.kill()
        case .look:
            story.blindness = nil
            return .tree(cgroup.look(&story.blindness))
        case .nameStrays: if story.strays.isEmpty { story.strays = describe(cgroup.members) }
        case .nameUnkillable: story.unkillable = describe(cgroup.members)
        case .remove: return .removal(succeeded: (try? cgroup.remove()) != nil)
        case .signal, .report, .deliver, .release: break
        }
        return nil
    }

    private static func describe(_ pids: [ProcessID]) -> [Report.ProcessInfo] {
        // A snapshot of a fork bomb need not be complete to be understood.
        pids.prefix(1_000).map { Report.ProcessInfo(pid: $0, comm: ProcessTable.commandName($0) ?? "?") }
    }

    /// Gives everything back if the tree is gone. Otherwise the guard keeps the tree, waits for its end, and cleans up.
    private func release(_ state: inout State) {
        let (home, jobs) = (state.home.take(), state.jobs.take())
        state.cgroup = nil
        (state.command, state.parent, state.terminal) = (nil, nil, nil)
        guard state.machine.emptyAfter != nil else {
            home?.abandon()
            return
        }
        let wasStopped = [.guardLost, .unitStopped].contains(state.report?.cause)
        let number = state.number
        home?.release(wasStopped: wasStopped) { jobs?.letGo(of: number) }
    }

    // MARK: What the report is made of

    private func factsAtTheEnd(_ state: borrowing State) -> JobFacts {
        var facts = state.facts
        if let jobs = state.jobs { facts.guardsReplaced = jobs.guardian.replacementCount }
        return facts
    }

    private func end(of state: borrowing State) -> JobEnd {
        let machine = state.machine
        var end = JobEnd()
        end.status = machine.status
        end.stop = machine.stop
        end.signals = state.story.signals
        // The finisher does not know how long the command ran.
        if state.jobs != nil { end.wallTime = (machine.endedAt ?? .now) - machine.startedAt }
        end.emptyAfter = machine.emptyAfter
        end.wroteKill = machine.wroteKill
        end.strays = state.story.strays
        end.unkillable = state.story.unkillable
        if !end.treeIsGone { end.blindness = state.story.blindness }
        end.detail = state.detail
        switch state.cgroup {
        case .some(let cgroup):
            end.statistics = cgroup.statistics(state.detail)
            end.controllers = cgroup.controllers
            if end.statistics.oomKills > 0 { end.limitedAncestor = cgroup.limitedAncestor }
        case .none: break
        }
        if machine.stop == nil, case .signaled(.kill, _) = machine.status {
            end.unitWasStopped = state.home?.wasEmptied() == true
        }
        return end
    }
}
