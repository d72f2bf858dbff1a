internal import CgroupSandbox
internal import LinuxSystem
internal import SandboxValues

// What happens to a keeper: signals, output, readiness, the command's end, and those who ask.

extension Keeper {
    func take(_ signals: SharedSignals) {
        while let received = signals.next() {
            if received.signal != .child { handle(.stop) }
        }
        let others = state.withLock { [$0.job?.pid] + $0.helpers.pids } + [kept.guardPID]
        Orphans.reap { others.contains($0) }
    }

    func readOutput() {
        change { state in
            state.log.drain()
            return state.log.hasFound ? state.machine.handle(.ready, at: .now) : []
        }
    }

    func readNotices() {
        change { state in
            let job = state.job
            guard let notices = state.notify?.take({ job?.isMember($0) == true }) else { return [] }
            var actions: [ServiceMachine.Action] = []
            if notices.isReady, spec.readiness == .notify { actions += state.machine.handle(.ready, at: .now) }
            if notices.isAlive { actions += state.machine.handle(.alive, at: .now) }
            if notices.isUnwell { actions += state.machine.handle(.unwell, at: .now) }
            return actions
        }
    }

    /// The machine's deadline has come.
    func meetDeadline() {
        // What the service said while this process did not run counts, and so does the time that the machine slept.
        readNotices()
        let slept = BootTime.timeAsleep
        let hasSlept = state.withLock { state in
            defer { state.timeAsleep = slept }
            return slept - state.timeAsleep > .milliseconds(10)
        }
        if hasSlept { handle(.alive) }
        handle(.time)
    }

    func ended(_ report: Report) {
        change { state in
            state.job = nil
            state.log.drainAll()
            let death = ServiceStatus.Death(report)
            noteDeath(death, &state)
            let end = ServiceMachine.End(
                isSuccess: report.launcherExitCode == 0 && report.termination.requestedBy == nil, text: death.text,
                hasSurvivors: !report.unkillable.isEmpty)
            return state.machine.handle(.ended(end), at: .now, jitter: .random(in: 0...1))
        }
    }

    func noteDeath(_ death: ServiceStatus.Death, _ state: inout State) {
        state.status.lastDeath = death
        state.log.note(death.text)
        state.pidFile?.remove()
    }

    func handle(_ event: ServiceMachine.Event) {
        change { $0.machine.handle(event, at: .now, jitter: .random(in: 0...1)) }
    }

    // MARK: Clients

    func acceptClients() {
        state.withLock { state in
            let status = bytes(of: liveStatus(&state))
            state.control.accept(loop, status: status) { [weak self] id in self?.hear(id) }
        }
    }

    private func hear(_ id: UInt64) {
        change { state in
            guard let request = state.control.nextRequest(of: id, loop) else { return [] }
            switch request {
            case .start: return state.machine.handle(.start, at: .now)
            case .stop: return state.machine.handle(.stop, at: .now)
            case .restart: return state.machine.handle(.restart, at: .now)
            case .kill:
                let actions = state.machine.handle(.stop, at: .now)
                state.job?.kill()
                return actions
            case .reload:
                reload(&state)
                return [.publish]
            }
        }
    }

    func bytes(of status: ServiceStatus) -> [UInt8] { (try? coding.encodeStatus(status)) ?? [] }

    /// The status with what is true only now.
    func liveStatus(_ state: inout State) -> ServiceStatus {
        var status = state.status
        status.guard = kept.guardPID
        if let job = state.job {
            status.pid = job.pid
            status.pids = Array(job.members.prefix(100))
            let statistics = job.statistics
            (status.memoryBytes, status.tasks) = (statistics.memoryBytes, statistics.pids)
        }
        return status
    }
}

extension ServiceStatus.Death {
    init(_ report: Report) {
        let end =
            report.exitCode.map { "exited with \($0)" } ?? report.signal.map { "was ended by \($0.name)" }
            ?? "ended, and nobody could learn how"
        let command = report.argv.first.map { $0.split(separator: "/").last.map(String.init) ?? $0 } ?? "the command"
        // Whoever has asked for the stop need not be told how a launcher words that.
        let wasStopped = report.termination.requestedBy == "caller"
        var text = wasStopped ? "\(command) \(end) at a stop" : report.explanation ?? "\(command) \(end)"
        if !wasStopped, report.straysKilled, report.exitCode == 0 {
            text += ", and what it had left behind was killed; with --wait-all, the service lasts as long as that"
        }
        self.init(
            at: report.endedAt ?? Timestamp.now.text, text: text,
            cause: report.cause.rawValue, exitCode: report.exitCode, signal: report.signal?.name,
            blocking: report.termination.blocking, unkillable: report.unkillable)
    }

    init(_ error: LaunchError) {
        self.init(
            at: Timestamp.now.text, text: error.message, cause: error.exitCode == 125 ? "setup_error" : "exec_error",
            exitCode: nil, signal: nil)
    }

    init(unseen text: String) {
        self.init(at: Timestamp.now.text, text: text, cause: Report.Cause.unknown.rawValue, exitCode: nil, signal: nil)
    }
}
