internal import LinuxSystem
internal import SandboxValues

// The command ends, is asked to, or is made to.

extension Suite {
    private static let normalEnds = 5

    /// By itself, or a service, which never does, at SIGTERM.
    func normalEnd(_ side: StressSide) throws(StressStop) -> Finding {
        try scene(side) { scene throws(StressStop) in
            var last: ExitStatus?
            for number in 1...Self.normalEnds {
                let isService = plan.readiness != nil
                var options = Scene.Options()
                options.isWorking = isService
                let instance = try scene.start(options)
                if isService { instance.send(.terminate) }
                if isService {
                    last = try awaitEnd(instance, scene) { scene.look() }.status
                } else {
                    guard let status = instance.end(within: plan.patience, meanwhile: { scene.look() }) else {
                        throw .notTested(
                            "it did not end by itself within \(plan.patience.seconds)s; give --ready for a service")
                    }
                    last = status
                }
                let left = scene.observer.left(within: Self.death)
                var finding = Finding.judged("", left: left, traces: scene.traces.left)
                if finding.outcome == .failed {
                    if number > 1 { finding.detail += ", at end \(number)" }
                    return finding
                }
                scene.forgetEnded()
            }
            return .passed("\(last.map { "\($0.text), " } ?? "")no process left")
        }
    }

    func signalled(_ signal: Signal, _ side: StressSide) throws(StressStop) -> Finding {
        try scene(side) { scene throws(StressStop) in
            var options = Scene.Options()
            options.isOnTerminal = signal != .terminate
            let instance = try scene.start(options)
            try demandAlive(instance)
            // The terminal knows whom the signal is for.
            switch signal {
            case .interrupt: instance.interrupt()
            case .hangUp: instance.hangUp()
            default: instance.send(signal)
            }
            let end: (status: ExitStatus, after: Duration)
            do throws(StressStop) { end = try awaitEnd(instance, scene) } catch {
                if signal == .hangUp, instance.isMainAlive {
                    return .passed("goes on, as services do that read their configuration anew then")
                }
                throw error
            }
            // What outlives the main process may have got the signal, and has the same grace.
            return judge(
                scene, "\(end.status.text) after \(end.after.shortText), no process left",
                within: max(Self.death, plan.grace - end.after))
        }
    }

    /// SIGKILL of the command, or of somebody around it.
    func killed(
        _ side: StressSide, throughShell: Bool = false, _ victim: (Instance) -> ProcessID
    ) throws(StressStop) -> Finding {
        try scene(side) { scene throws(StressStop) in
            var options = Scene.Options()
            options.throughShell = throughShell
            let instance = try scene.start(options)
            try demandAlive(instance)
            guard scene.observer.signal([victim(instance)], .kill) else { throw .ended(instance.lastLines) }
            _ = instance.end(within: Self.death)
            return judge(scene, "no process left")
        }
    }

    func timeLimit(_ side: StressSide) throws(StressStop) -> Finding {
        try scene(side) { scene throws(StressStop) in
            var options = Scene.Options()
            // Time to be in the middle of its work.
            let limit = Duration.seconds((rehearsal.timeToReady.seconds * 15).rounded(.up) / 10 + 1)
            options.timeLimit = limit
            options.mayFail = true
            let instance = try scene.start(options)
            let end = try awaitEnd(instance, scene, since: instance.began + limit)
            guard end.after >= .zero else { throw .notTested("it \(end.status.text) before its limit") }
            let finding = judge(scene, "status 124, no process left")
            guard finding.outcome == .passed, end.status != .exited(code: 124) else { return finding }
            return .failed("\(end.status.text), where 124 tells of a time limit")
        }
    }

    // MARK: What trials share

    /// Whether any process is left of a command whose main process has ended.
    func judge(_ scene: Scene, _ seen: String, within bound: Duration = death) -> Finding {
        .judged(seen, left: scene.observer.left(within: bound))
    }

    func demandAlive(_ instance: Instance) throws(StressStop) {
        guard instance.isMainAlive else { throw .ended(instance.lastLines) }
    }

    /// Waits for the end that a stop signal, or a limit, is to bring.
    ///
    /// - Parameters:
    ///   - since: from when on the grace counts.
    ///   - look: called again and again.
    /// - Throws: `.failed` where the end takes longer than the grace allows.
    func awaitEnd(
        _ instance: Instance, _ scene: Scene, since: BootTime = .now, meanwhile look: () -> Void = {}
    ) throws(StressStop) -> (status: ExitStatus, after: Duration) {
        let status = instance.end(within: since + patienceForEnd - .now, meanwhile: look)
        let after = BootTime.now - since
        guard let status else {
            throw .failed(
                Finding(.failed, "still runs after \(after.shortText)", left: scene.observer.processes.described))
        }
        guard after <= allowedForEnd else { throw .failed(.failed("ended only after \(after.shortText)")) }
        return (status, after)
    }
}
