internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

// What the driver does as the machine says.

extension JobDriver {
    /// Changes the state, and calls `whenOver` if the job is over then.
    func change(_ body: (inout State) -> Void) {
        let over = state.withLock { state -> (@Sendable (Report) -> Void, Report)? in
            body(&state)
            guard state.machine.isOver, let report = state.report, let whenOver = state.whenOver.take() else {
                return nil
            }
            return (whenOver, report)
        }
        if let (whenOver, report) = over { whenOver(report) }
    }

    func run(_ event: JobMachine.Event, _ state: inout State) {
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

    func perform(_ actions: [JobMachine.Action], _ state: inout State) {
        // Watches end first: `release`, the last of the actions, closes what they watch.
        if !state.machine.hasCommand { loop.unwatch(state.commandWatch.take()) }
        if !state.machine.isRunning { loop.unwatch(state.parentWatch.take()) }
        var actions = actions[...]
        while let action = actions.popFirst() {
            if let answer = perform(action, &state) { actions += state.machine.handle(answer, at: .now) }
        }
        schedule(&state)
    }

    /// How late this process may be to end a job, before the guard does.
    private static let guardPatience = Duration.seconds(1)

    /// When the guard ends a job that starts now, if this process does not; `nil`: never.
    static func guardActs(on spec: JobSpec, startedAt: BootTime) -> BootTime? {
        guardActs(on: JobMachine(JobMachine.Rules(spec), startedAt: startedAt))
    }

    private static func guardActs(on machine: JobMachine) -> BootTime? { machine.endsBy.map { $0 + guardPatience } }

    /// Tells the guard until when it leaves the job to this process.
    private func tellGuard(_ state: inout State) {
        guard let moment = Self.guardActs(on: state.machine), let number = state.number, let jobs = state.jobs else {
            return
        }
        guard moment != state.guardActsAt else { return }
        state.guardActsAt = moment
        jobs.guardian.setDeadline(moment, of: number)
    }

    private func schedule(_ state: inout State) {
        tellGuard(&state)
        guard state.machine.deadline != state.timer?.at else { return }
        if let timer = state.timer { loop.cancel(timer.id) }
        state.timer = state.machine.deadline.map { deadline in
            (loop.call(at: deadline) { [weak self] in self?.timeHasCome(deadline) }, deadline)
        }
    }

    /// - Returns: what came of the action, for the machine; `nil`: nothing that it needs to know.
    private func perform(_ action: JobMachine.Action, _ state: inout State) -> JobMachine.Event? {
        switch action {
        case .thaw: try? state.cgroup?.setFrozen(false)
        case .signal(let signal): try? state.command?.send(signal)
        case .signalTree(let signal):
            state.cgroup?.signalMembers(signal, except: state.machine.hasCommand ? pid : nil)
        case .readCPUTime: return .cpuTime(state.cgroup?.cpuTime)
        case .kill: try? state.cgroup?.kill()
        case .look:
            if !state.machine.hasCommand { noteGuardsKill(&state) }
            state.end.blindness = nil
            return (state.cgroup?.look(&state.end.blindness)).map { .tree($0) }
        case .nameStrays: if state.end.strays.isEmpty { state.end.strays = members(of: &state) }
        case .nameBlocking: state.end.blocking = members(of: &state)
        case .nameUnkillable: state.end.unkillable = members(of: &state)
        case .report: makeReport(&state)
        case .remove: return .removal(succeeded: remove(&state))
        case .noteLeftover: state.report?.note(leftover: state.leftover, state.facts.wording)
        case .deliver: if let report = state.report { state.deliver(report) }
        case .release: release(&state)
        }
        return nil
    }

    /// - Returns: whether the cgroups are gone.
    private func remove(_ state: inout State) -> Bool {
        do throws(SystemError) {
            try state.cgroup?.remove()
            return true
        } catch {
            state.leftover = error
            return false
        }
    }

    private func members(of state: inout State) -> [Report.ProcessInfo] {
        // A snapshot of a fork bomb need not be complete to be understood.
        (state.cgroup?.members ?? []).prefix(1_000).map {
            Report.ProcessInfo(pid: $0, comm: ProcessTable.commandName($0) ?? "?")
        }
    }

    private func makeReport(_ state: inout State) {
        let machine = state.machine
        state.end.adopt(machine)
        if let jobs = state.jobs {
            state.facts.guardsReplaced = jobs.guardian.replacementCount
            // The finisher does not know how long the command ran.
            state.end.wallTime = (machine.endedAt ?? .now) - machine.startedAt
        }
        state.end.statistics = state.cgroup?.statistics(state.end.detail) ?? JobStatistics()
        state.end.controllers = state.cgroup?.controllers ?? []
        if state.end.statistics.oomKills > 0 { state.end.memoryLimitAbove = state.cgroup?.memoryLimitAbove }
        let limits = state.facts.limits.resources
        if state.end.wantsPIDsLimitAbove {
            state.end.pidsLimitAbove = state.cgroup?.pidsLimitAbove(state.end.statistics, limits.pidsMax?.value)
        }
        if state.end.detail == .everything {
            state.end.changedLimits = state.cgroup?.changes(of: ResolvedLimits(inForce: limits)) ?? []
        }
        // The job's unit may have been stopped since the command's end.
        if machine.stop == nil { noteOutsideStop(nil, &state) }
        state.report = Report(state.facts, state.end)
    }

    /// Gives everything back if the tree is gone. Otherwise the guard keeps the tree, waits for its end, and cleans up.
    private func release(_ state: inout State) {
        let (home, jobs) = (state.home.take(), state.jobs.take())
        state.cgroup = nil
        state.command = nil
        (state.parent, state.terminal) = (nil, nil)
        guard state.machine.emptyAfter != nil else {
            home?.abandon()
            return
        }
        let wasStopped = [.guardLost, .unitStopped].contains(state.report?.cause)
        let number = state.number
        home?.release(wasStopped: wasStopped) { jobs?.letGo(of: number) }
    }
}

extension JobMachine.Rules {
    init(_ spec: JobSpec) {
        self.init(
            timeout: spec.timeout, cpuTimeout: spec.cpuTimeout, stopSignal: spec.stopSignal, grace: spec.grace,
            stopsAll: spec.killMode == .controlGroup, asksStrays: spec.strays == .terminate,
            waitsForAll: spec.waitsForAll, processors: Machine.onlineProcessors)
    }
}
