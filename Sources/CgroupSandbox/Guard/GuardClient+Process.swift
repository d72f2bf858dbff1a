internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

// The guard's process: how it is started, told, replaced and ended.

extension GuardClient {
    /// How many guards in a row may be killed before they watch.
    private static let attempts = 30

    /// Gets on with the guard as far as is possible without waiting: starts it, sends what is in the outbox, takes the
    /// guard's answer, and replaces a guard that is lost.
    ///
    /// - Parameter isLost: whether the caller knows that the present guard has ended. Otherwise the end of a guard that
    ///   watches is noticed only when there is something to send.
    /// - Returns: what to wait for, if that is not far enough.
    /// - Throws: when no guard can be started. Then there is none, no job may live on, and the observer is told.
    func advance(_ state: inout State, isLost: Bool = false) throws(LaunchError) -> Pause {
        do throws(LaunchError) {
            if isLost { try bury(&state) }
            while true {
                if state.process == nil { try start(&state) }
                guard var process = state.process else { continue }
                let delivery = try process.deliver(&state.outbox)
                let answer = delivery == .lost ? .ended : process.takeAnswer()
                state.process = process
                switch answer {
                case .ready: state.lostInARow = 0
                case .nothing, .hungUp: if process.answerBy <= .now { throw silence(&state) }
                case .ended:
                    try bury(&state)
                    continue
                }
                // poll(2) may call a socket ready that refuses descriptors, since too many are on their way.
                let isFull = delivery == .full
                return Pause(
                    socket: answer == .nothing && !isFull ? process.helper.control.rawValue : -1,
                    process: process.helper.descriptor, atMost: isFull ? .microseconds(200) : Self.longestPause)
            }
        } catch {
            dismiss(&state)
            if let observer = state.observer { _ = observer.loop.call(at: .now, observer.whenMissing) }
            throw error
        }
    }

    /// Starts the guard's program, and queues what it has to be told of all jobs.
    func start(_ state: inout State) throws(LaunchError) {
        if let silence = state.silence, .now < silence.until { throw silence.error }
        guard !state.isIrreplaceable || state.lostInARow == 0 else { throw endedTooEarly }
        guard state.lostInARow <= Self.attempts else {
            throw LaunchError(noGuard: program.path, "was killed \(state.lostInARow) times in a row before it watched")
        }
        state.outbox.startAnew()
        var process = try GuardProcess(program, launcher: launcher, telling: &state.outbox)
        if let observer = state.observer {
            do throws(SystemError) {
                process.watch = try observer.loop.watch(process.helper.descriptor, for: .reading) { [weak self] in
                    self?.keepUp()
                }
            } catch {
                // Nobody would notice the end of this guard.
                process.dismiss()
                throw LaunchError(error)
            }
        }
        if state.lostInARow > 0 { state.replaced += 1 }
        state.process = process
    }

    /// Takes note of a guard that has not said in time that it watches.
    private func silence(_ state: inout State) -> LaunchError {
        let error = LaunchError(
            noGuard: program.path, "did not say within \(Helper.patience.components.seconds) s that it watches")
        state.silence = (error, .now + Helper.patience)
        return error
    }

    var endedTooEarly: LaunchError {
        LaunchError(noGuard: program.path, "ended before the command could start")
    }

    /// Ends a guard that is lost, and forgets it.
    ///
    /// - Throws: when it had ended by itself: then starting it again would not help.
    private func bury(_ state: inout State) throws(LaunchError) {
        unwatch(&state)
        // A process's cgroup can be read only until the process is reaped.
        if state.isIrreplaceable { state.lastPlace = state.place }
        guard let lost = state.process.take() else { return }
        lost.takeNotices { state.killedAtDeadline.insert($0) }
        state.lostInARow += 1
        // `dismiss` kills a guard that is stuck or stopped; of a guard that was dead before, it tells how that ended.
        switch lost.dismiss() {
        case .exited(let code): throw LaunchError(guardEnded: .exited(code: code), program: program.path)
        case .signaled(let signal, let dumped) where Signal.faults.contains(signal):
            throw LaunchError(guardEnded: .signaled(signal, coreDumped: dumped), program: program.path)
        default: return
        }
    }

    func dismiss(_ state: inout State) {
        unwatch(&state)
        state.process.take()?.dismiss()
        state.outbox.removeAll()
        state.lostInARow = 0
    }

    /// Ends the watch of the guard's pidfd, which must not be closed before.
    private func unwatch(_ state: inout State) { state.observer?.loop.unwatch(state.process?.watch.take()) }
}
