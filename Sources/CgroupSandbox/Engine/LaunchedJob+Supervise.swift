internal import Cgroups
public import LinuxSystem
internal import SandboxValues

extension LaunchedJob {
    /// Waits for the command to end, and meanwhile enforces the time limits, replaces a lost guard,
    /// ends the job when the parent is lost, and passes signals on.
    ///
    /// - Parameters:
    ///   - signals: what to pass on; `nil` leaves signals to the program.
    ///   - relay: for a command with a terminal of its own, what goes there and comes from it.
    /// - Throws: only when waiting itself fails. A job that has to be killed is no error.
    public mutating func supervise(
        _ signals: SignalForwarder? = nil, _ relay: TerminalRelay? = nil
    ) throws(SystemError) {
        let timer = try DeadlineTimer()
        relay?.attach(terminal.take())
        while state.status == nil {
            timer.set(enforceTimeLimits())
            // An unkillable command would never end: the tree is given up, and reported.
            if isGivenUp { return }

            var poller = Poller()
            poller.add(main.descriptor.rawValue)
            poller.add(timer.descriptor.rawValue)
            poller.add(signals?.source.descriptor.rawValue ?? -1)
            poller.add(state.stop?.reason == .parentLost ? -1 : parent?.descriptor ?? -1)
            // A lost one that is not replaced stays ready.
            poller.add(state.stop?.reason == .guardLost ? -1 : guardian.descriptor)
            relay?.add(to: &poller)
            let ready = poller.wait(state.killedAt == nil ? nil : .seconds(1))

            if ready[4] { replaceGuard() }
            if ready[3] { stop(.parentLost) }
            if ready[2], let signals {
                var arrived: [SignalDescriptor.Received] = []
                while let received = signals.source.next() { arrived.append(received) }
                for received in arrived { handle(received, of: arrived, relay) }
                if arrived.contains(where: { $0.signal == .child }) {
                    try lookAtCommand(wasContinued: arrived.contains { $0.signal == .continue }, relay)
                }
            }
            if state.status == nil, let relay { note(relay.act(ready[5...]), from: relay) }
            if state.status == nil, ready[0], case .ended(let status) = try main.change() {
                state.status = status
            }
        }
        state.endedAt = .now
    }

    /// Whether the command was killed so long ago that it will not end.
    var isGivenUp: Bool { state.killedAt.map { BootTime.now - $0 > Self.patienceAfterKill } ?? false }

    /// Takes note of a command whose pidfd says that it has ended.
    mutating func noteEnd() {
        if case .ended(let status) = try? main.change() { state.status = status }
        state.endedAt = .now
    }

    /// How long the kernel gets to end a killed tree. A process in an uninterruptible sleep may take for ever.
    static var patienceAfterKill: Duration { .seconds(10) }

    // MARK: Stopping

    /// Begins to stop the job: stop signal, grace, `cgroup.kill`. A second request changes nothing
    /// but that the command gets the signal again.
    public mutating func requestStop() { stop(.caller) }

    mutating func stop(_ reason: StopReason) {
        // A command that was faster ended by itself; unless the guard, which sees a loss as well, killed it.
        guard !(reason.isGraceful && main.hasEnded) else { return }
        if state.stop == nil {
            state.stop = Stop(reason: reason)
        } else if !reason.isGraceful {
            state.stop?.reason = reason
        }
        guard reason.isGraceful, spec.grace > .zero, state.stop?.escalated != true else {
            kill()
            return
        }
        try? main.send(spec.stopSignal)
        // A stopped command cannot act on anything else.
        try? main.send(.continue)
        if state.stop?.killAt == nil {
            state.stop?.signal = spec.stopSignal
            state.stop?.grace = spec.grace
            state.stop?.killAt = .now + spec.grace
        }
    }

    /// Kills the whole tree without asking the command first.
    mutating func kill(_ reason: StopReason) {
        if state.stop == nil { state.stop = Stop(reason: reason) }
        kill()
    }

    private mutating func kill() {
        state.stop?.escalated = true
        state.stop?.killAt = nil
        if state.killedAt == nil { state.killedAt = .now }
        try? cgroup.kill()
    }

    /// - Returns: when to look again.
    mutating func enforceTimeLimits() -> BootTime? {
        let now = BootTime.now
        if let killAt = state.stop?.killAt {
            if killAt <= now { kill() }
            return state.stop?.killAt
        }
        guard state.stop == nil else { return nil }
        var next: BootTime?
        if let timeout = spec.timeout {
            let deadline = state.startedAt + timeout
            if deadline <= now {
                stop(.timeoutWall)
                return state.stop?.killAt
            }
            next = deadline
        }
        if let limit = spec.cpuTimeout {
            let left = limit - (cgroup.cpuTime ?? .zero)
            if left <= .zero {
                stop(.timeoutCPU)
                return state.stop?.killAt
            }
            // With every processor at work it cannot be used up sooner.
            let soonest = now + max(left / Machine.onlineProcessors, .milliseconds(5))
            next = next.map { min($0, soonest) } ?? soonest
        }
        return next
    }

    // MARK: Signals

    /// - Parameter wasContinued: this process was, so the command's stop may be one that is over.
    private mutating func lookAtCommand(wasContinued: Bool, _ relay: TerminalRelay?) throws(SystemError) {
        switch try main.change() {
        case .ended(let status): state.status = status
        case .stopped:
            if wasContinued {
                // The shell continues a whole process group, but one member after the other.
                var moment = Poller()
                _ = moment.wait(.milliseconds(20))
                guard ProcessTable.state(main.pid) == "T" else { return }
            }
            // On a terminal the shell waits for this process: stop with the command, and let `fg` wake both.
            guard ThisProcess.isTerminalForeground else { return }
            if relay != nil || isApart { stop(with: relay) } else { ThisProcess.stop() }
        case nil: break
        }
    }

    private mutating func handle(
        _ received: SignalDescriptor.Received, of arrived: [SignalDescriptor.Received], _ relay: TerminalRelay?
    ) {
        switch received.signal {
        case .child: break
        case .terminate where !received.isFromKernel:
            stop(.caller)
        case _ where relay != nil: if let relay { pass(received, of: arrived, by: relay) }
        case _ where isApart: pass(received, of: arrived)
        case let signal
        where received.isFromKernel && signal != .continue && !(signal == .hangUp && ThisProcess.leadsSession):
            // The terminal sent it to the whole foreground process group: the command has it already.
            // Only that it hung up, it tells the leader of the session alone.
            state.signals.fromTerminal.append(signal)
        case let signal:
            try? main.send(signal)
            state.signals.forwarded.append(signal)
        }
    }

    // MARK: The guard

    /// Starts another guard in place of one that was killed; without one the job must not live on.
    private mutating func replaceGuard() {
        // A manager that ends the job ends the guard after it.
        if scope != nil, main.hasEnded { return }
        // In a scope, the manager stops the job for it: a guard is replaced only where nobody else guards.
        guard scope == nil, (try? guardian.replace()) != nil else {
            stop(.guardLost)
            return
        }
    }
}
