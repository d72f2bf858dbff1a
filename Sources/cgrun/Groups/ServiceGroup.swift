internal import ArgumentParser
internal import LinuxSystem
internal import SandboxValues
internal import Services
internal import SystemPackage

/// Services that one command starts, watches or stops, in the order of what they require of each other.
///
/// The keepers do the work, and tell of every change. What this command does not live to see happens nevertheless.
final class ServiceGroup {
    struct Member {
        let client: ServiceClient
        /// How the service is started; `nil` where it is only stopped.
        var order: ServiceDirectory.Order?
        var phase = Phase.waiting
        var connection: ServiceConnection?
        var status: ServiceStatus?
        /// How often the command had been started before this group asked for a start: only a later start tells what has
        /// become of that.
        var startsBefore = 0
        var wasRunning = false
        /// How often a start was tried.
        var attempts = 0
        /// What this group has asked the keeper for last, to end the service; `nil`: nothing yet.
        var request: ServiceRequestKind?
    }

    enum Phase {
        /// The services that this one requires have not come so far yet.
        case waiting
        /// This group has asked for its start.
        case begun
        case ready
        /// Its command has ended, and well.
        case completed
        /// The service runs no more, or never did.
        case over
    }

    let actions: ServiceActions
    let plan: ServicePlan
    var members: [ServiceName: Member]
    /// Whether this command stays with the services, and shows their logs.
    let isAttached: Bool
    private var logs: GroupLogs?
    var isEnding = false
    private var code: Int32 = 0
    /// The signals that end the group; `nil`: they end this process alone.
    private var signals: SignalDescriptor?

    /// - Parameters:
    ///   - logs: shows the services' logs; `nil`: this command ends once each service is ready.
    init(_ actions: ServiceActions, _ plan: ServicePlan, _ members: [ServiceName: Member], logs: GroupLogs?) {
        (self.actions, self.plan, self.members, self.logs) = (actions, plan, members, logs)
        isAttached = logs != nil
    }

    // MARK: What commands ask for

    /// Starts all services, and stays with them if there are logs to be shown.
    ///
    /// - Returns: what to exit with.
    func start() throws -> Int32 {
        if isAttached { try catchSignals() }
        while true {
            startWhatMay()
            if isEnding { stopWhatMay() }
            if members.values.allSatisfy({ isDecided($0.phase) }) { break }
            showLogs()
            wait()
        }
        try? logs?.finish()
        return code
    }

    /// Stops all services.
    ///
    /// - Returns: what to exit with.
    func stop() -> Int32 {
        isEnding = true
        for name in members.keys {
            members[name]?.phase = .ready
            connect(name)
        }
        while members.values.contains(where: { !isDecided($0.phase) }) {
            stopWhatMay()
            wait()
        }
        return code
    }

    func isDecided(_ phase: Phase) -> Bool {
        switch phase {
        case .waiting, .begun: false
        case .ready: !isAttached && !isEnding
        case .completed, .over: true
        }
    }

    // MARK: Starting

    private func startWhatMay() {
        for name in plan.order where members[name]?.phase == .waiting {
            if isEnding {
                members[name]?.phase = .over
                continue
            }
            switch plan.verdict(on: name, progress) {
            case .start: begin(name)
            case .wait: break
            case .never(let other):
                let reason = members[other]?.status?.reason.map { "failed: \($0)" } ?? "does not run"
                fail(name, "was not started, since \(other) \(reason)")
            }
        }
    }

    private func progress(_ name: ServiceName) -> ServicePlan.Progress {
        // A service is chosen only together with all that it requires.
        guard let member = members[name] else { return .ready }
        switch member.phase {
        case .waiting: return .waiting
        case .begun:
            guard let status = member.status, status.starts > member.startsBefore else { return .waiting }
            return status.state == .starting && status.pid != nil ? .started : .waiting
        case .ready: return .ready
        case .completed: return .completed
        case .over: return .over
        }
    }

    private func begin(_ name: ServiceName) {
        guard let member = members[name] else { return }
        members[name]?.phase = .begun
        members[name]?.attempts += 1
        attempt(name) {
            if member.attempts == 0 { try logs?.follow(name) }
            guard member.attempts < ServiceActions.mostAttempts else { throw actions.neverBegan(member.client) }
            let begun = try actions.begin(member.client, member.order)
            members[name]?.connection = begun.connection
            members[name]?.startsBefore = begun.startsBefore
            members[name]?.wasRunning = begun.wasRunning
            if let status = begun.status { update(name, status) } else if begun.connection == nil { reconnect(name) }
        }
    }

    /// Carries out something for a member, which is over where that fails.
    func attempt(_ name: ServiceName, _ body: () throws -> Void) {
        guard let client = members[name]?.client else { return }
        do {
            let result = try actions.attempt(client, body)
            if result == 0 { return }
            code = max(code, result)
            members[name]?.phase = .over
        } catch { fail(name, "\(error)", 125) }
    }

    private func fail(_ name: ServiceName, _ reason: String, _ result: Int32 = ServiceActions.Code.failed) {
        actions.console.error("\(name): \(reason)")
        code = max(code, result)
        members[name]?.phase = .over
    }

    // MARK: News

    private func update(_ name: ServiceName, _ status: ServiceStatus) {
        guard let member = members[name], member.phase == .begun || member.phase == .ready else { return }
        members[name]?.status = status
        if isEnding {
            if status.state.isSettled || status.state == .orphaned {
                conclude(name, status)
            } else if let request = member.request, status.state != .stopping {
                // The service may have been started anew since the request, be it by somebody else.
                _ = member.connection?.send(request)
            }
            return
        }
        guard status.state.isSettled || member.phase == .ready || status.isDecided(after: member.startsBefore) else {
            return
        }
        switch status.state {
        case .running where member.phase == .begun:
            members[name]?.phase = .ready
            tell(name, status)
            for other in plan.awaitingCompletion(of: name) where members[other]?.phase == .waiting {
                actions.console.note("\(other) waits until \(name) has ended")
            }
        case .exited:
            members[name]?.phase = .completed
            tell(name, status)
        case .stopped, .failed, .orphaned:
            members[name]?.phase = .over
            tell(name, status)
        case .backoff where !isAttached:
            // Whoever waits for it should not have to wait for all its attempts.
            members[name]?.phase = .over
            tell(name, status)
        case .running, .starting, .stopping, .backoff: break
        }
        // The connection with a service that is ready stays: another may wait for its end.
        if let phase = members[name]?.phase, phase == .completed || phase == .over { members[name]?.connection = nil }
    }

    /// Says what has become of a start, or of a service that has ended by itself.
    private func tell(_ name: ServiceName, _ status: ServiceStatus) {
        guard let member = members[name] else { return }
        if !isAttached {
            attempt(name) { try actions.tellStart(status, member.client, wasRunning: member.wasRunning) }
        } else {
            showLogs()
            switch status.state {
            case .running:
                actions.console.note(status.runs(member.wasRunning ? "already running" : "ready"))
            case .exited: actions.console.note("\(name) has ended: \(status.reason ?? "")")
            case .stopped: actions.console.note("\(name) was stopped")
            default:
                fail(
                    name, status.reason ?? "failed",
                    status.lastDeath?.cause == "setup_error" ? 125 : ServiceActions.Code.failed)
            }
        }
    }

    // MARK: Waiting

    /// How often to look for what is new in the logs.
    private static let pause = Duration.milliseconds(100)

    private func wait() {
        let names = members.keys.filter { members[$0]?.connection != nil }
        var poller = Poller()
        switch signals {
        case .some(let signals): poller.add(signals.descriptor.rawValue)
        case .none: poller.add(-1)
        }
        for name in names { poller.add(members[name]?.connection?.descriptor ?? -1) }
        poller.add(logs?.awaited ?? -1, for: .writing)
        let ready = poller.wait(logs == nil ? nil : Self.pause)
        if ready[0] { takeSignals() }
        for (name, isReady) in zip(names, ready.dropFirst()) where isReady { hear(name) }
    }

    private func hear(_ name: ServiceName) {
        while let connection = members[name]?.connection {
            switch connection.take() {
            case .status(let status): update(name, status)
            case .nothingYet: return
            case .end: return reconnect(name)
            }
        }
    }

    /// Finds the next keeper of a service that has lost its keeper, or whose keeper was done.
    func reconnect(_ name: ServiceName) {
        members[name]?.connection = nil
        Poller.pause(.milliseconds(5))
        connect(name)
    }

    func connect(_ name: ServiceName) {
        attempt(name) {
            while let member = members[name], member.phase == .begun || member.phase == .ready {
                if let connection = try actions.reach(member.client) {
                    guard let status = try connection.first() else { continue }
                    members[name]?.connection = connection
                    update(name, status)
                    // A keeper that takes over may not have heard.
                    if member.request == .kill {
                        _ = connection.send(.kill)
                    } else if !isEnding, member.phase == .begun, status.starts <= member.startsBefore,
                        status.state != .stopping
                    {
                        _ = connection.send(.start)
                    }
                    return
                }
                if !isEnding, member.phase == .begun, member.client.isLost { return begin(name) }
                guard let status = try member.client.status() else { throw actions.unknown(member.client) }
                // Otherwise a keeper has come meanwhile, and the next round connects with it.
                if status.state.isSettled || status.state == .orphaned { return update(name, status) }
                Poller.pause(.milliseconds(5))
            }
        }
    }

    func showLogs() {
        do { try logs?.show() } catch {
            logs = nil
            if error.errno == .brokenPipe {
                // Whoever read them has seen enough.
                code = max(code, 128 + Signal.pipe.rawValue)
            } else {
                actions.console.error("the logs cannot be shown any more: \(error)")
                code = max(code, 125)
            }
            if !isEnding { end() }
        }
    }

    // MARK: Signals

    private func catchSignals() throws {
        let caught = SignalSet([.terminate, .interrupt, .hangUp, .child])
        SignalSet([.terminate, .interrupt, .hangUp, .child, .pipe]).block()
        Signal.child.takeDefaultAction()
        signals = try SignalDescriptor(caught)
    }

    private func takeSignals() {
        while let received = nextSignal() {
            if received == .child { Orphans.reap() } else { end() }
        }
    }

    private func nextSignal() -> Signal? {
        switch signals {
        case .some(let signals): signals.next()?.signal
        case .none: nil
        }
    }
}
