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
        case .stopJob: state.job?.stop()
        case .watchReadiness:
            switch spec.readiness {
            case .tcp, .http, .exec:
                let start = state.machine.memory.starts
                loop.call(at: .now) { [weak self] in self?.probe(forStart: start) }
            case .log(let text):
                state.log.seek(text, from: state.logStart)
                if state.log.hasFound { return .ready }
            case .delay, .notify: break
            }
        case .publish: publish(&state)
        case .finish: state.isOver = true
        }
        return nil
    }

    private func launch(_ state: inout State) -> ServiceMachine.Event {
        var launch = spec.launch
        if let notify = state.notify?.variable, let assignment = ByteString("NOTIFY_SOCKET=\(notify)".utf8) {
            launch.job.setEnvironment(assignment)
        }
        state.log.drainAll()
        state.logStart = state.log.end
        do {
            // Opened for both ways: the service never finds its output without a reader.
            let output = try Descriptor(opening: directory.output, O_RDWR)
            state.job = try kept.launch(launch, of: spec.name.description, in: place, output: output, whenOver: ended)
            writePIDFile(&state)
            return .launched
        } catch {
            let error = error as? LaunchError ?? LaunchError(.setup, "\(error)")
            noteDeath(ServiceStatus.Death(error), &state)
            return .refused(error.message)
        }
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
            bootID: Machine.bootID, memory: memory, status: state.status, places: place.paths, logStart: state.logStart,
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
    /// In bytes.
    fileprivate var memoryLimit: UInt64? {
        guard case .value(let amount) = launch.job.limits.memoryMax else { return nil }
        return amount.bytes(of: ByteCount(Machine.memoryBytes))
    }
}
