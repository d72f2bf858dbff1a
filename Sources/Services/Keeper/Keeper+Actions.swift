internal import CgroupSandbox
internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

// What a keeper does as its machine says.

extension Keeper {
    func perform(_ action: ServiceMachine.Action, _ state: inout State) -> ServiceMachine.Event? {
        switch action {
        case .launch: return launch(&state)
        case .stopJob:
            guard let job = state.job else {
                // It waits for its last main process to be reaped.
                return .ended(ServiceMachine.End(isSuccess: true, text: "was stopped before it was started"))
            }
            job.stop()
        case .watchReadiness:
            switch spec.readiness {
            case .tcp, .http, .exec:
                let start = state.machine.memory.starts
                loop.call(at: .now) { [weak self] in self?.probe(forStart: start) }
            case .log(let text):
                state.log.seekInRun(text)
                if state.log.hasFound { return .ready }
            case .delay, .notify: break
            }
        case .publish: publish(&state)
        case .finish: state.isOver = true
        }
        return nil
    }

    /// How long a main process that is dead may take to be reaped by its parent, which is not this process.
    private static let patience = Duration.seconds(5)

    /// - Returns: `nil` if the command is started later.
    private func launch(_ state: inout State) -> ServiceMachine.Event? {
        // A server that finds its own pid file takes a zombie for a server that runs.
        if state.main?.exists == true {
            let deadline = state.reapingDeadline ?? .now + Self.patience
            state.reapingDeadline = deadline
            if deadline > .now {
                let start = state.machine.memory.starts
                loop.call(at: .now + .milliseconds(10)) { [weak self] in
                    self?.change { state in
                        let isDue = state.machine.state == .starting && state.machine.memory.starts == start
                        return isDue && state.job == nil ? [.launch] : []
                    }
                }
                return nil
            }
        }
        (state.main, state.reapingDeadline) = (nil, nil)
        var launch = spec.launch
        for assignment in surroundings(state.notify?.variable) { launch.job.setEnvironment(assignment) }
        state.log.drainAll()
        state.log.beginRun()
        do {
            let output = try openOutput()
            if spec.log.isJournal, let variable = JournalStream.variable(output) {
                launch.job.setEnvironment(ByteString("JOURNAL_STREAM=\(variable)".utf8)!)
            }
            state.job = try kept.launch(launch, of: spec.name.description, in: place, output: output, whenOver: ended)
            state.main = state.job?.main
            writePIDFile(&state)
            return .launched
        } catch {
            let error = error as? LaunchError ?? LaunchError(.setup, "\(error)")
            noteDeath(ServiceStatus.Death(error), &state)
            return .refused(error.message)
        }
    }

    /// What the service writes to.
    func openOutput() throws(SystemError) -> Descriptor {
        if spec.log.isJournal {
            return try JournalStream.open(identifier: LogRules.journalIdentifier(of: spec.name), waits: true)
        }
        // Opened for both ways: the service never finds its output without a reader.
        return try Descriptor(opening: directory.output, O_RDWR)
    }

    /// What a command finds in its environment that is to speak as sd_notify(3) has it.
    private func surroundings(_ socket: String?) -> [ByteString] {
        guard let socket else { return [] }
        let interval = spec.watchdog.map { "WATCHDOG_USEC=\($0.nanoseconds / 1_000)" }
        return ["NOTIFY_SOCKET=\(socket)", interval].compactMap { $0.flatMap { ByteString($0.utf8) } }
    }

    private func publish(_ state: inout State) {
        endNeedlessHelpers(&state)
        let memory = state.machine.memory
        if state.status.state != memory.state || state.status.since == nil {
            state.status.since = Timestamp.now.text
        }
        state.status.state = memory.state
        state.status.ready = memory.isReady
        (state.status.starts, state.status.restarts, state.status.reason) = (
            memory.starts, memory.restarts, memory.reason
        )
        state.status.nextStart = memory.nextStart.map { moment in
            let wait = BootTime(sinceBoot: .nanoseconds(moment)) - .now
            return Timestamp(sinceEpoch: Timestamp.now.sinceEpoch + wait).text
        }
        state.status.pid = state.job?.pid
        state.status.cgroup = state.job?.cgroupPath
        state.status.memoryLimitBytes = spec.memoryLimit
        state.status.keeper = memory.state.isSettled ? nil : ThisProcess.id
        state.status.guard = memory.state.isSettled ? nil : kept.guardPID
        let record = ServiceRecord(
            bootID: Machine.bootID, memory: memory, status: state.status, places: place.paths,
            logStart: state.log.runStart,
            notifyVariable: state.notify?.variable)
        do { try directory.writeRecord(coding.encodeRecord(record)) } catch {
            // A disk that is full stops no service; a successor may know less.
            state.log.note("the service's record cannot be written: \(error)")
        }
        // A service that has ended by all appearances has no guard left, either. A guard that has become a keeper until
        // then finds in the record that there is nothing to do.
        // One that has still to see helpers die needs its guard, which ends them if this process is lost.
        if memory.state.isSettled, state.helpers.areOver { kept.dismissGuard() }
        // Who waits for the end waits for this process, too.
        state.status.keeper = ThisProcess.id
        state.control.tellAll(bytes(of: liveStatus(&state)), loop)
    }
}

extension ServiceSpec {
    /// Whether the service is to say how it is.
    var listens: Bool { readiness == .notify || watchdog != nil }

    /// In bytes.
    fileprivate var memoryLimit: UInt64? {
        guard case .value(let amount) = launch.job.limits.memoryMax else { return nil }
        return amount.bytes(of: ByteCount(Machine.memoryBytes))
    }
}
