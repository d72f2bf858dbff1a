internal import CgroupSandbox
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

// What a keeper runs and writes besides the service's command: probes, the command of a reload, the pid file.

extension Keeper {
    /// What goes on beside the command.
    struct Helpers: ~Copyable {
        var networkProbe: NetworkProbe?
        var probe: KeptJob?
        /// Why the service was not ready at the last attempt.
        var probeFailure: String?
        var reload: KeptJob?
        /// Whether somebody has asked for a reload while one went on: what that one has read may be old.
        var reloadsAgain = false

        /// Processes that somebody waits for already.
        var pids: [ProcessID?] { [probe?.pid, reload?.pid] }
        /// Whether nothing of them is left to be waited for.
        var areOver: Bool { probe == nil && reload == nil }
    }

    // MARK: Readiness

    /// Tries whether the service is ready.
    ///
    /// - Parameter start: which start of the command this is about.
    func probe(forStart start: Int) {
        change { state in
            guard state.isStarting(start) else { return [] }
            guard state.helpers.probe == nil else {
                // The probe of an earlier start is about to end; one runs at a time.
                tryAgain(start)
                return []
            }
            let answer: NetworkProbe.Answer = { [weak self] failure in self?.probed(failure, forStart: start) }
            switch spec.readiness {
            case .tcp(let address, let port):
                state.helpers.networkProbe = NetworkProbe(loop, address, port, request: nil, answer)
            case .http(let request):
                state.helpers.networkProbe = NetworkProbe(
                    loop, request.address, request.port, request: request, answer)
            case .exec(let command):
                let job = helper(command, timeout: .seconds(10), &state)
                do {
                    state.helpers.probe = try kept.launch(
                        .probe, job, of: spec.name.description, in: place, output: nil
                    ) { [weak self] report in
                        self?.change { state in
                            state.helpers.probe = nil
                            return []
                        }
                        answer(report.launcherExitCode == 0 ? nil : ServiceStatus.Death(report).text)
                    }
                } catch {
                    let failure = (error as? LaunchError)?.message ?? "\(error)"
                    loop.call(at: .now) { answer(failure) }
                }
            case .delay, .notify, .log: break
            }
            return []
        }
    }

    private func probed(_ failure: String?, forStart start: Int) {
        change { state in
            state.helpers.networkProbe = nil
            guard state.isStarting(start) else { return [] }
            state.helpers.probeFailure = failure
            guard failure != nil else { return state.machine.handle(.ready, at: .now) }
            tryAgain(start)
            return []
        }
    }

    private func tryAgain(_ start: Int) {
        loop.call(at: .now + spec.readiness.pause) { [weak self] in self?.probe(forStart: start) }
    }

    private func helper(_ command: [ByteString], timeout: Duration, _ state: inout State) -> JobSpec {
        var job = spec.launch.job
        job.arguments = command
        job.limits = Limits()
        job.timeout = timeout
        job.cpuTimeout = nil
        job.grace = .seconds(1)
        job.waitsForAll = false
        job.strays = .kill
        if let pid = state.job?.pid { job.setEnvironment(ByteString("MAINPID=\(pid)".utf8)!) }
        return job
    }

    /// Ends what means nothing any more as the service stands now.
    func endNeedlessHelpers(_ state: inout State) {
        let now = state.machine.state
        if now != .starting {
            if now == .stopping, case .fail = state.machine.memory.intent, let failure = state.helpers.probeFailure {
                state.log.note("was not ready at the last attempt: \(failure)")
            }
            state.helpers.probeFailure = nil
            state.helpers.networkProbe?.cancel()
            state.helpers.networkProbe = nil
            state.helpers.probe?.kill()
        }
        if now != .starting, now != .running { state.helpers.reload?.kill() }
    }

    // MARK: Reload

    /// Has the service reload. The status tells what has become of that.
    func reload(_ state: inout State) {
        guard let job = state.job else { return reloaded("its command does not run", &state) }
        switch spec.reload {
        case .signal(let signal):
            var failure: String?
            guard job.pid != nil else {
                return reloaded("its main process has left others behind, and ended; give --reload-command", &state)
            }
            do { try job.send(signal) } catch { failure = "\(error)" }
            reloaded(failure, &state)
        case .command(let command):
            guard state.helpers.reload == nil else {
                state.helpers.reloadsAgain = true
                return
            }
            do {
                let output = SharedDescriptor(try openOutput())
                state.helpers.reload = try kept.launch(
                    .reload, helper(command, timeout: .seconds(60), &state), of: spec.name.description, in: place,
                    output: output
                ) { [weak self] report in
                    self?.change { state in
                        state.helpers.reload = nil
                        if state.helpers.reloadsAgain {
                            state.helpers.reloadsAgain = false
                            self?.reload(&state)
                            return [.publish]
                        }
                        let isSuccess = report.launcherExitCode == 0 && report.termination.requestedBy == nil
                        self?.reloaded(isSuccess ? nil : ServiceStatus.Death(report).text, &state)
                        return [.publish]
                    }
                }
            } catch { reloaded((error as? LaunchError)?.message ?? "\(error)", &state) }
        }
    }

    private func reloaded(_ failure: String?, _ state: inout State) {
        state.status.reloads += 1
        state.status.reloadFailure = failure
        if let failure { state.log.note("the reload failed: \(failure)") }
    }

    // MARK: The pid file

    /// Writes the pid of the main process where other programs look for it.
    func writePIDFile(_ state: inout State) {
        guard let pid = state.job?.pid else { return }
        do { try state.pidFile?.write(pid) } catch { state.log.note("--pid-file: cannot be written: \(error)") }
    }
}

extension Keeper.State {
    /// Whether this start of the command goes on, and the service is not ready yet.
    fileprivate func isStarting(_ start: Int) -> Bool {
        machine.state == .starting && machine.memory.starts == start
    }
}
