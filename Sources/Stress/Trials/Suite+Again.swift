internal import LinuxSystem
internal import SandboxValues

// The command is started again, or once more.

extension Suite {
    func restart(_ side: StressSide) throws(StressStop) -> Finding {
        guard case .port(let port)? = plan.readiness else { throw .notTested("there is no port") }
        return try scene(side) { scene throws(StressStop) in
            let instance = try scene.start()
            let listener = rehearsal.ports.first { $0.port == port }
            let address = listener?.address.hasPrefix("[") == true ? "::1" : "127.0.0.1"
            let held = try HeldConnection.open(to: address, port, within: plan.patience)
            // The server gets to know of its client.
            Poller.pause(.milliseconds(50))
            instance.send(.terminate)
            _ = try awaitEnd(instance, scene)
            let again: Instance
            do throws(StressStop) { again = try scene.start() } catch {
                guard case .notReady(let reason) = error else { throw error }
                let left = scene.observer.left(within: .zero)
                return Finding(
                    .failed, "the second \(reason)", left: left,
                    remedy: left.isEmpty ? "the server must set SO_REUSEADDR" : nil)
            }
            held.close()
            return .passed("ready again after \(again.age.shortText)")
        }
    }

    func doubleStart(_ side: StressSide) throws(StressStop) -> Finding {
        try scene(side) { scene throws(StressStop) in
            side == .bare ? try startedTwice(scene) : try startedTwiceAsService(scene)
        }
    }

    private func startedTwice(_ scene: Scene) throws(StressStop) -> Finding {
        let first = try scene.start()
        try demandAlive(first)
        var options = Scene.Options()
        options.isWorking = false
        let second = try scene.start(options)
        // It may try again and again for a port that is taken.
        let end = second.end(within: max(plan.patience, rehearsal.timeToReady + .seconds(2)))
        guard first.isMainAlive else { return .failed("the first ended, too") }
        guard let end else {
            if case .port(let port)? = plan.readiness, !second.listens(at: port) {
                return .passed("the second does not serve, and goes on")
            }
            return .failed("two instances")
        }
        return end == .exited(code: 0) ? .failed("ran twice") : .passed("the second \(end.text)")
    }

    private func startedTwiceAsService(_ scene: Scene) throws(StressStop) -> Finding {
        let name = "stress"
        let ready: [String] =
            switch plan.readiness {
            case .port(let port)?: ["--ready", "tcp=\(port)"]
            case .line(let text)?: ["--ready", "log=\(text)"]
            case nil: []
            }
        let start =
            ByteString.words(["env", "CGRUN_STATE_DIRECTORY=\(scene.directory)", plan.cgrun, "service"])
        func service(_ words: [String], _ command: [ByteString] = []) throws(StressStop) -> Instance {
            try scene.run(start + ByteString.words(words) + command)
        }
        /// - Returns: `nil` where the service does not run.
        func pid() throws(StressStop) -> ProcessID? {
            let asked = try service(["pid", name])
            guard asked.end(within: plan.patience) == .exited(code: 0), let pid = ProcessID(asked.output.text.trimmed)
            else { return nil }
            return scene.observer.processes.pids.contains(pid) ? pid : nil
        }
        var first: ProcessID?
        for number in 1...2 {
            let begun = try service(["start", name, "--restart", "no"] + ready + ["--"], plan.command)
            guard let end = begun.end(within: plan.patience + .seconds(2)) else {
                throw .notReady("did not become ready as a service")
            }
            guard end == .exited(code: 0) else { return .failed("cgrun service start \(end.text)\(begun.lastLines)") }
            let now = try pid()
            if number == 1 { first = now }
            guard let first, scene.observer.processes.pids.contains(first) else { throw .ended("") }
            guard now == first else { return .failed("pid \(first), then \(now.map { "\($0)" } ?? "none")") }
            guard number == 1 || begun.output.text.contains("already running") else {
                return .failed("the second start does not say that it is already running\(begun.lastLines)")
            }
        }
        let stopped = try service(["stop", name])
        guard stopped.end(within: patienceForEnd + .seconds(5)) == .exited(code: 0) else {
            return Finding(
                .failed, "cgrun service stop failed\(stopped.lastLines)", left: scene.observer.left(within: .zero))
        }
        return judge(scene, "the second start says that it is already running")
    }

    // MARK: Again and again

    /// After how many cycles nothing may grow any more.
    private static let warmUp = 5
    /// How many cycles it takes to judge memory.
    private static let enoughForMemory = warmUp + Slope.leastValues

    /// What is there when the command is not.
    private struct Residue: Equatable {
        var processes: Int
        var traces: Int
    }

    func cycles(_ side: StressSide) throws(StressStop) -> Finding {
        guard plan.cycles > Self.warmUp else { throw .notTested("\(plan.cycles) cycles are too few; give --cycles 12") }
        return try scene(side) { scene throws(StressStop) in
            var residues: [Residue] = []
            var memory: [Double] = []
            for number in 1...plan.cycles {
                do throws(StressStop) {
                    let instance = try scene.start()
                    instance.send(.terminate)
                    _ = try awaitEnd(instance, scene)
                } catch {
                    switch error {
                    // A short command was started, and has stopped by itself.
                    case .ended: break
                    case .notReady(let reason):
                        return Finding(.failed, "start \(number) \(reason)", left: scene.observer.left(within: .zero))
                    case .failed(var finding):
                        finding.detail = "cycle \(number) \(finding.detail)"
                        return finding
                    default: throw error
                    }
                }
                scene.forgetEnded()
                let left = scene.observer.left(within: Self.death)
                residues.append(Residue(processes: left.count, traces: scene.traces.left.count))
                if let bytes = scene.observer.memoryBytes { memory.append(Double(bytes)) }
            }
            let left = scene.observer.left(within: .zero)
            let (warm, last) = (residues[Self.warmUp - 1], residues[residues.count - 1])
            let kinds = [("processes", warm.processes, last.processes), ("files", warm.traces, last.traces)]
            let growing = kinds.filter { $0.2 > $0.1 }.map { "from \($0.1) to \($0.2) \($0.0)" }
            if !growing.isEmpty {
                let growth = growing.joined(separator: " and ")
                return Finding(
                    .failed, "what is left grows \(growth) after cycle \(Self.warmUp)", left: left,
                    traces: scene.traces.left)
            }
            if let slope = Slope(Array(memory.dropFirst(Self.warmUp))), slope.isGrowth {
                return Finding(.failed, "memory grows by \(slope.text) a cycle", left: left)
            }
            let unknown =
                memory.isEmpty
                ? "; memory not judged (nobody counts it here)"
                : memory.count < Self.enoughForMemory
                    ? "; memory not judged (needs \(Self.enoughForMemory) cycles)" : ""
            return .judged("\(plan.cycles) cycles, nothing left\(unknown)", left: left, traces: scene.traces.left)
        }
    }
}

extension StringProtocol {
    /// Without line ends and blanks around it.
    fileprivate var trimmed: String { split(whereSeparator: \.isWhitespace).joined(separator: " ") }
}
