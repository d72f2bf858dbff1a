internal import CgroupSandbox
internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

/// Makes the trials of a plan, one after the other.
///
/// Everything that is started lives in observers below the cgroup of the job that the suite itself runs in.
package struct Suite {
    let plan: StressPlan
    let rehearsal: Rehearsal
    private let accounting: Accounting
    private let stage: Scene.Stage

    /// Which resources can be counted and limited here.
    struct Accounting {
        /// Limits of `max`, by which all observers count.
        var limits = Limits()
        /// Why memory or processes cannot be limited.
        var memoryFailure: String?
        var pidsFailure: String?

        init() {
            var memory = Limits()
            memory.memoryMax = .max
            memoryFailure = Self.failure(memory)
            if memoryFailure == nil { limits.memoryMax = .max }
            var pids = Limits()
            pids.pidsMax = .max
            pidsFailure = Self.failure(pids)
            if pidsFailure == nil { limits.pidsMax = .max }
        }

        private static func failure(_ limits: Limits) -> String? {
            do {
                try Observer(limits).end()
                return nil
            } catch { return "\(error)" }
        }
    }

    /// What the command was like when nothing was done to it.
    struct Rehearsal {
        var timeToReady = Duration.zero
        /// `nil` where nobody counts.
        var memoryBytes: UInt64?
        var pids: UInt64?
        var ports: [ListeningPort] = []
    }

    /// Starts the command once, to learn what it is like.
    ///
    /// - Throws: why it cannot be tried.
    package init(_ plan: StressPlan) throws(StressError) {
        self.plan = plan
        accounting = Accounting()
        do throws(SystemError) {
            let loop = try EventLoop()
            try loop.startThread()
            stage = Scene.Stage(plan: plan, loop: loop, accounting: accounting.limits, earlier: Traces.Earlier())
        } catch { throw StressError("\(error)") }
        do throws(StressStop) {
            let scene = try Scene(stage, .bare, limits: nil)
            do throws(StressStop) {
                rehearsal = try Self.rehearse(scene)
            } catch {
                try? scene.close()
                throw error
            }
            try scene.close()
        } catch {
            let reason =
                switch error {
                case .notReady(let reason): "it \(reason); see --ready, --busy and --patience"
                case .notTested(let reason), .broken(let reason): reason
                case .ended(let lines): "it had ended before\(lines)"
                case .failed(let finding): finding.detail
                }
            throw StressError("the command cannot be tried: \(reason)")
        }
    }

    /// How long `--work` may go well before it fails, to be found out in the rehearsal.
    private static let longestFailure = Duration.seconds(3)

    private static func rehearse(_ scene: Scene) throws(StressStop) -> Rehearsal {
        let instance = try scene.start()
        var rehearsal = Rehearsal()
        rehearsal.timeToReady = instance.age
        rehearsal.memoryBytes = scene.observer.memoryBytes
        rehearsal.pids = scene.observer.statistics.pids
        rehearsal.ports = scene.observer.processes.pids.flatMap { OpenFiles(of: $0).ports }
        try instance.awaitEndOfWork(within: min(scene.plan.patience, longestFailure))
        return rehearsal
    }

    /// Makes all trials.
    ///
    /// - Parameters:
    ///   - result: gets the findings, and why the suite could not go on, if so.
    ///   - progress: called with each finding as soon as there is one.
    package func run(_ result: inout StressResult, _ progress: (Trial, StressSide, Finding) -> Void) {
        for trial in plan.trials {
            var scenario = StressResult.Scenario(trial)
            do throws(StressError) {
                for side in plan.sides where side == .cgrun || !trial.isOfCgrun {
                    let finding = try finding(trial, side)
                    scenario[side] = finding
                    progress(trial, side, finding)
                }
            } catch { result.failure = error.description }
            for side in StressSide.allCases {
                let remedy = remedy(scenario, side)
                scenario[side]?.remedy = remedy
            }
            if scenario.bare != nil || scenario.cgrun != nil { result.scenarios.append(scenario) }
            guard result.failure == nil else { return }
        }
    }

    private func finding(_ trial: Trial, _ side: StressSide) throws(StressError) -> Finding {
        do throws(StressStop) { return try make(trial, side) } catch {
            switch error {
            case .notTested(let reason): return .notTested(reason)
            case .ended(let lines): return .notTested("it had ended before\(lines)")
            case .notReady(let reason): return .failed(reason)
            case .failed(let finding): return finding
            case .broken(let reason): throw StressError("scenario \(trial.rawValue), \(side.name): \(reason)")
            }
        }
    }

    private func make(_ trial: Trial, _ side: StressSide) throws(StressStop) -> Finding {
        if let option = trial.missingOption(in: plan) { throw .notTested("needs \(option)") }
        return switch trial {
        case .normalEnd: try normalEnd(side)
        case .terminate: try signalled(.terminate, side)
        case .interrupt: try signalled(.interrupt, side)
        case .hangUp: try signalled(.hangUp, side)
        case .killMain: try killed(side) { $0.main }
        case .timeout: try timeLimit(side)
        case .workerKilled: try workerLost(.kill, side)
        case .workerTerminated: try workerLost(.terminate, side)
        case .workerStopped: try workerStopped(side)
        case .parentKilled: try killed(side, throughShell: true) { $0.process.pid }
        case .launcherKilled: try killed(.cgrun) { $0.process.pid }
        case .launcherAndGuardKilled: try launcherAndGuardKilled()
        case .outOfMemory: try outOfMemory(side)
        case .forkRefused: try forkRefused(side)
        case .restart: try restart(side)
        case .doubleStart: try doubleStart(side)
        case .cycles: try cycles(side)
        }
    }

    // MARK: For the trials

    /// Has a trial take place, and ends whatever it leaves.
    ///
    /// - Parameter limits: of the whole scene.
    func scene<Result>(
        _ side: StressSide, limits: Limits? = nil, _ body: (Scene) throws(StressStop) -> Result
    ) throws(StressStop) -> Result {
        let scene = try Scene(stage, side, limits: limits)
        let result: Result
        do throws(StressStop) { result = try body(scene) } catch {
            try? scene.close()
            throw error
        }
        try scene.close()
        return result
    }

    var memoryFailure: String? { accounting.memoryFailure }
    var pidsFailure: String? { accounting.pidsFailure }
    /// How long what was killed may take to be gone.
    static let death = Duration.seconds(1)

    /// How long a command may take to end after a stop signal: a second more than the grace, for the kill that cgrun
    /// does then, and for a busy machine.
    var allowedForEnd: Duration { plan.grace + Self.death }
    /// How long its end is waited for: longer, to tell when it came.
    var patienceForEnd: Duration { allowedForEnd + .seconds(2) }

    // MARK: Remedies

    /// What prevents a failure, or what to do about it: what its trial says, unless there is a command that does better.
    private func remedy(_ scenario: StressResult.Scenario, _ side: StressSide) -> String? {
        guard let finding = scenario[side], finding.outcome == .failed else { return nil }
        if finding.left.isEmpty, !finding.traces.isEmpty {
            return "cgrun ends processes, and removes no files: the command has to"
        }
        switch side {
        case .bare:
            let isTold = scenario.cgrun?.outcome == .failed || scenario.cgrun == nil && finding.remedy != nil
            return isTold ? finding.remedy : betterCommand(scenario.trial)
        case .cgrun:
            return scenario.trial == .workerKilled || scenario.trial == .workerTerminated
                ? "the worker's own tools live as long as the whole job; have the worker run each as cgrun -- tool"
                : finding.remedy
        }
    }

    private func betterCommand(_ trial: Trial) -> String {
        let command = CommandWords.shown(plan.command.map(\.description))
        return switch trial {
        case .timeout: "cgrun --timeout DURATION -- \(command)"
        case .workerKilled, .workerTerminated:
            "in the worker, run each tool as cgrun -- tool, and all as cgrun -- \(command)"
        case .outOfMemory: "cgrun --mem SIZE --report FILE -- \(command)"
        case .forkRefused: "cgrun --pids N --report FILE -- \(command)"
        case .doubleStart: "cgrun service start NAME -- \(command)"
        default: "cgrun -- \(command)"
        }
    }
}

extension Trial {
    /// Whether there is nothing to try without cgrun.
    package var isOfCgrun: Bool { self == .launcherKilled || self == .launcherAndGuardKilled }
}
