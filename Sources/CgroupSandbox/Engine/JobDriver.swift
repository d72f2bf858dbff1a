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
    let state: Locked<State>

    struct State: ~Copyable {
        var machine: JobMachine
        var facts: JobFacts
        /// What is known of the end so far.
        var end = JobEnd()
        /// Released when the job is over, as are `command`, `home`, `jobs`, `parent` and `terminal`.
        var cgroup: JobCgroup?
        /// `nil` in the finisher.
        var command: ProcessDescriptor?
        var home: (any JobHome)?
        var jobs: GuardedJobs?
        /// The number by which the guard knows the job.
        var number: UInt64?
        var parent: ParentWatch?
        /// The command's own terminal, if it has one.
        var terminal: PseudoTerminal?
        var report: Report?
        /// Why the cgroups could not be removed at the last attempt.
        var leftover: SystemError?
        var deliver: @Sendable (Report) -> Void = { _ in }
        /// `nil` before it is set, and once it was called.
        var whenOver: (@Sendable (Report) -> Void)?
        var watchesCommand = true
        var commandWatch: EventLoop.Watch?
        var parentWatch: EventLoop.Watch?
        var timer: (id: UInt64, at: BootTime)?
        /// When the guard kills the job, as it was told.
        var guardActsAt: BootTime?

        init(_ machine: JobMachine, _ facts: JobFacts, _ cgroup: consuming JobCgroup) {
            self.machine = machine
            self.facts = facts
            self.cgroup = consume cgroup
        }
    }

    /// A job whose command runs, or has ended unseen (no `main`) and left others.
    init(
        _ spec: JobSpec, _ facts: JobFacts, _ cgroup: consuming JobCgroup, _ main: consuming ProcessDescriptor?,
        _ home: any JobHome, _ number: UInt64, _ jobs: GuardedJobs, _ parent: ParentWatch?,
        terminal: PseudoTerminal?, session: OwnSession?, startedAt: BootTime
    ) {
        id = facts.id
        switch main {
        case .some(let main): pid = main.pid
        case .none: pid = 0
        }
        cgroupPath = cgroup.path
        isApart = session != nil
        readsTerminal = session?.readsTerminal == true
        loop = jobs.loop
        var state = State(JobMachine(JobMachine.Rules(spec), startedAt: startedAt), facts, cgroup)
        state.command = consume main
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
        state.withLock { ($0.end.detail, $0.deliver) = (detail, deliver) }
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
            if state.command == nil, state.machine.hasCommand, state.home != nil { run(.commandEnded(nil), &state) }
        }
    }

    private func watch(_ state: inout State) throws(SystemError) {
        if state.watchesCommand, let command = state.command?.descriptor.rawValue {
            state.commandWatch = try loop.watch(command, for: .reading) { [weak self] in self?.tellEnd() }
        }
        if let parent = state.parent?.descriptor {
            state.parentWatch = try loop.watch(parent, for: .reading) { [weak self] in self?.parentIsLost() }
        }
    }
}

// MARK: - Asking

extension JobDriver {
    var isRunning: Bool { state.withLock { $0.machine.isRunning } }
    var hasCommand: Bool { state.withLock { $0.machine.hasCommand } }
    var isBeingStopped: Bool { state.withLock { $0.machine.stop != nil } }
    /// `nil` while the job is not over.
    var finalReport: Report? { state.withLock { $0.machine.isOver ? $0.report : nil } }
    var guardPID: ProcessID? { state.withLock { $0.jobs?.guardian.pid } }
    /// What the launch did besides what was planned, for people.
    var notes: [String] { state.withLock { $0.home?.notes ?? [] } }

    /// As of now; once the report is made, as of then.
    var statistics: JobStatistics {
        state.withLock { state in
            state.report != nil ? state.end.statistics : state.cgroup?.statistics(.current) ?? JobStatistics()
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
            loop.unwatch(state.parentWatch.take())
            run(.stop(.parentLost), &state)
        }
    }

    /// Kills the whole tree at once.
    func kill() { change { state in if !settle(&state) { run(.kill, &state) } } }

    /// Sends the command a signal from outside. A job that is over is no error.
    func pass(_ signal: Signal) throws(SystemError) {
        try state.withLock { state throws(SystemError) in
            guard state.machine.hasCommand else { return }
            try state.command?.send(signal)
            state.end.signals.forwarded.append(signal)
        }
    }

    /// Takes note of signals that the command has from its terminal.
    func note(fromTerminal signals: [Signal]) { state.withLock { $0.end.signals.fromTerminal += signals } }
    /// Takes note of a signal that was passed on.
    func note(forwarded signal: Signal) { state.withLock { $0.end.signals.forwarded.append(signal) } }

    /// Sends a signal to the process group that the command leads.
    func sendToGroup(_ signal: Signal) {
        state.withLock { state in
            if state.machine.hasCommand { state.command?.sendToGroup(signal) }
        }
    }

    /// Makes every process in the tree stand still, or go on. A job that is being stopped goes on.
    func setFrozen(_ isFrozen: Bool) throws(SystemError) {
        try state.withLock { state throws(SystemError) in
            guard isFrozen ? state.machine.mayBeFrozen : state.machine.isRunning else { return }
            try state.cgroup?.setFrozen(isFrozen)
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
            guard state.machine.hasCommand else { return }
            change = takeChange(&state)
            if case .ended(let status) = change { tellEnd(status, &state) }
        }
        return change
    }

    /// To be called when the command's pidfd is readable.
    func tellEnd() { change { state in tellEndIfThere(&state) } }

    /// The command's pidfd; -1 once the command has ended.
    var descriptor: CInt {
        state.withLock { $0.machine.hasCommand ? $0.command?.descriptor.rawValue ?? -1 : -1 }
    }

    /// Tells the machine if the command has ended by now: then it ended by itself, whatever happens to the job next.
    ///
    /// - Returns: whether the command has ended.
    func settle(_ state: inout State) -> Bool {
        guard state.machine.hasCommand, state.command?.hasEnded == true else { return false }
        if state.watchesCommand { tellEndIfThere(&state) }
        return true
    }

    private func tellEndIfThere(_ state: inout State) {
        guard state.machine.hasCommand, state.command?.hasEnded == true else { return }
        let change = takeChange(&state)
        let status: ExitStatus? = if case .ended(let status) = change { status } else { nil }
        tellEnd(status, &state)
    }

    private func takeChange(_ state: inout State) -> ProcessDescriptor.Change? {
        // A process has limits of its own only until it is reaped.
        if state.command?.hasEnded == true { state.end.cpuTimeAtLimit = ProcessTable.cpuTimeAtLimit(pid) }
        return try? state.command?.change()
    }

    private func tellEnd(_ status: ExitStatus?, _ state: inout State) {
        // The guard watches the parent, too, and may have killed the command for the parent's loss.
        let wasKilled: Bool = if case .signaled(let signal, _) = status { signal == .kill } else { status == nil }
        if wasKilled, state.parent?.isLost == true { run(.stop(.parentLost), &state) }
        if wasKilled { noteGuardsKill(&state) }
        if state.machine.stop == nil { noteOutsideStop(status, &state) }
        run(.commandEnded(status), &state)
    }

    /// Tells the machine if the guard has killed the tree at the job's time limit.
    func noteGuardsKill(_ state: inout State) {
        // Asked also if this process has killed the tree meanwhile: the guard was first.
        guard state.guardActsAt != nil, let number = state.number,
            state.jobs?.guardian.hasKilledAtDeadline(number) == true
        else { return }
        state.end.wasKilledByGuard = true
        run(.killedByGuard, &state)
    }

    /// Takes note of a stop of the job's unit, which leaves what the command has left the time of the grace.
    ///
    /// - Parameter status: how the command has ended just now; `nil`: it had ended before.
    func noteOutsideStop(_ status: ExitStatus?, _ state: inout State) {
        guard state.end.outsideStop == nil else { return }
        state.end.outsideStop = state.home?.outsideStop(state.machine.rules.stopSignal, status)
        if state.end.outsideStop == .asked { run(.askedElsewhere, &state) }
    }
}
