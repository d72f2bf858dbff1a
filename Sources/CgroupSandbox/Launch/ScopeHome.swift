internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdBus

/// A scope that systemd makes for one job. A holder in it keeps systemd from collecting it before the job's statistics
/// are read.
///
/// Only a manager may move a user's processes from one unit to another. So the manager moves the holder, which starts
/// the command once the job's cgroup is there.
final class ScopeHome: JobHome {
    private let name: String
    private let scopePlan: ScopePlan
    private let layout: Hierarchies
    private let state: Locked<State>

    private struct State: ~Copyable {
        /// The connection to the manager; `nil` once it was used.
        var manager: ServiceManager?
        var facts: JobFacts.Home
        var scope: OpenScope?
        /// The command, which the holder starts first.
        var command: HeldProgram?
    }

    /// - Parameter name: what the job's cgroup will be called.
    init(
        _ name: String, _ plan: ScopePlan, _ manager: consuming sending ServiceManager, _ layout: Hierarchies,
        because reason: String
    ) {
        self.name = name
        self.layout = layout
        scopePlan = plan
        let stops = "systemd's \(plan.domain.rawValue) manager stops the scope when \(plan.companionName) is empty"
        var layers: [Report.Layer] = [.launcher, .guardian, Report.Layer(name: "manager", detail: stops)]
        if plan.domain == .user {
            let ends = "systemd as PID 1 ends all that a lost user manager leaves"
            layers.append(Report.Layer(name: "init", detail: ends))
        }
        let facts = JobFacts.Home(
            manager: .systemd, reason: reason, layers: layers, unit: plan.name, sharesLimits: true)
        state = Locked(State(manager: manager, facts: facts))
    }

    var facts: JobFacts.Home { state.withLock { $0.facts } }

    func plan() -> [String] {
        let path = "\(scopePlan.name)/\(name)"
        let socket = state.withLock { $0.manager?.address.socket ?? "" }
        return scopePlan.description(by: socket) + ["mkdir \(path)"]
            + scopePlan.limits.settings.map { $0.step(in: path).description }
    }

    func open(_ program: Program, _ guardian: GuardClient) throws(LaunchError) -> PlannedCgroup {
        let helper = try GuardProgram()
        return try state.withLock { state throws(LaunchError) in
            guard let manager = state.manager.take() else { throw LaunchError(.setup, "the scope was opened before") }
            // Before the guard: a later holder would have a copy of the guard's socket, which the guard would not see
            // closed after a loss.
            var program = program
            program.copiesMemory = scopePlan.isTight
            let holder = try HolderProcess(helper, startingFirst: program, &state.command)
            try guardian.start()
            guardian.pin()
            let cgroupBefore = ThisProcess.cgroupHash
            state.command?.awaitScope(cgroupBefore)
            let scope = try OpenScope.open(scopePlan, by: manager, holder, guardian, layout)
            let path = scope.path
            state.facts.systemdVersion = scope.started.version
            state.facts.unknownProperties = scope.started.unknown
            state.scope = consume scope
            do throws(CgroupError) {
                let place = try ParentCgroups(layout, parentPath: path, limits: scopePlan.limits)
                return try PlannedCgroup(place, name: name, limits: scopePlan.limits, parentSharesLimits: true)
            } catch { throw LaunchError(error, scopePlan.wording) }
        }
    }

    var notes: [String] { [] }

    func start(
        _ program: Program, in cgroup: borrowing JobCgroup, _ wording: Wording
    ) throws(LaunchError) -> SpawnedProcess {
        let directory = cgroup.directory.descriptor.rawValue
        let command = state.withLock { $0.command.take() }
        do { return try command!.start(in: directory) } catch {
            throw LaunchError(error, command: program.arguments[0].description, wording)
        }
    }

    func outsideStop(_ signal: Signal, _ status: ExitStatus?) -> OutsideStop? {
        // The manager signals one process after the other: the holder may have its turn a moment after the command.
        let isSuspect: Bool =
            if case .signaled(let end, _) = status { [.kill, signal].contains(end) } else { false }
        return state.withLock { $0.scope?.outsideStop(signal, within: isSuspect ? .milliseconds(20) : .zero) }
    }

    func release(wasStopped: Bool, _ letGo: () -> Void) {
        guard let scope = state.withLock({ $0.scope.take() }) else { return letGo() }
        let path = scope.path
        // The job's scope goes first: once the guard is gone, the manager would stop that scope.
        _ = consume scope
        letGo()
        guard scopePlan.isNamed || wasStopped else { return }
        awaitEnd(removing: wasStopped ? path : nil)
    }

    func abandon() { state.withLock { $0.scope.take()?.abandon() } }

    func clearAway(_ guardian: GuardClient, _ letGo: () -> Void) {
        state.withLock { state in
            state.command = nil
            state.scope = nil
        }
        // The guard's cgroup tells where both scopes are: the job's scope may have no process any more that could tell.
        let beside = guardian.unifiedPath
        letGo()
        guard let beside, beside.hasSuffix("/" + scopePlan.companionName) else { return }
        awaitEnd(removing: beside.dropLast(scopePlan.companionName.count) + scopePlan.name)
    }

    /// Waits until both scopes are gone, but for 5 s at most.
    ///
    /// - Parameter path: the job's scope, if others may have stopped it: systemd may leave its directory.
    private func awaitEnd(removing path: String?) {
        guard let manager = try? ServiceManager(scopePlan.domain) else { return }
        let deadline = BootTime.now + .seconds(5)
        for name in [scopePlan.name, scopePlan.companionName]
        where (try? manager.waitUntilGone(name, until: deadline)) == nil {
            return
        }
        if let path { DelegatedCgroup.removeLeftover(path, in: layout) }
    }
}

/// Two scopes that the manager has made: one for jobs, with the holder in it, and its companion, with the guard and
/// perhaps a program. The holder, and so the scope for jobs, ends with this value.
struct OpenScope: ~Copyable {
    /// The path of the scope for jobs, as in `/proc/PID/cgroup`.
    let path: String
    let started: ServiceManager.Started
    private var holder: HolderProcess

    /// Has the manager make both scopes and move the processes into them, and makes the first ready for jobs.
    ///
    /// - Throws: why there is no scope. Scopes that were made end with their processes.
    static func open(
        _ plan: ScopePlan, by manager: borrowing ServiceManager, _ holder: consuming HolderProcess,
        _ guardian: GuardClient, _ layout: Hierarchies
    ) throws(LaunchError) -> OpenScope {
        try guardian.awaitScope(ThisProcess.cgroupHash, keptBy: holder)
        let held = holder.helper.descriptor
        let companion = guardian.descriptor
        var members = [held: holder.helper.process.pid, companion: guardian.pid ?? 0]
        var beside = [companion]
        if plan.takesProgram {
            let own = guardian.launcher.descriptor.rawValue
            members[own] = guardian.launcher.pid
            beside = [own, companion]
        }
        let started: ServiceManager.Started
        do throws(LaunchError) {
            started = try plan.start(
                by: manager, plan.jobScope(members: [held]), beside: plan.companionScope(members: beside),
                members: members)
        } catch {
            // If the guard's program is not a guard, its process has ended, and the manager could not move it: then
            // that is the error to tell.
            if !plan.takesProgram { try guardian.check() }
            throw error
        }
        if !plan.takesProgram { try guardian.check() }
        let path = try arrange(plan, keptBy: holder, guardian, layout)
        return OpenScope(path: path, started: started, holder: holder)
    }

    /// Makes sure that the processes are where they should be, and makes the scope ready for jobs.
    ///
    /// - Returns: the scope's path.
    private static func arrange(
        _ plan: ScopePlan, keptBy holder: borrowing HolderProcess, _ guardian: GuardClient, _ layout: Hierarchies
    ) throws(LaunchError) -> String {
        // The manager's answer is not enough: see where the holder is.
        let keeper = holder.helper.process.pid
        guard let path = try? Hierarchies.unifiedPath(of: keeper), !holder.helper.process.hasEnded else {
            throw LaunchError(.setup, "the process that keeps \(plan.name) was killed")
        }
        guard path.hasSuffix("/" + plan.name) else {
            throw LaunchError(.setup, "systemd made \(plan.name), but the process that keeps it is in \(path)")
        }
        do {
            let cgroup = try DelegatedCgroup(path, in: layout)
            if plan.takesProgram {
                let own = try Hierarchies.unifiedPath(of: ThisProcess.id)
                guard own.hasSuffix("/" + plan.companionName) else {
                    throw LaunchError(.setup, "systemd made \(plan.name), but this program is in \(own)")
                }
            }
            try cgroup.setAside([keeper])
            if plan.takesProgram { try guardian.keep(cgroup.duplicate()) }
            // If launcher and guard are lost in the same instant, the manager stops the scope. The holder does not wait
            // for what that stop allows the job.
            try holder.arm(cgroup.openKillFile())
            try cgroup.passControllersOn()
            try plan.options.checkProperties(in: cgroup, plan.wording)
            if plan.takesProgram { try cgroup.apply(plan.limitsOfScope) } else { try cgroup.checkWeight(plan.limits) }
        } catch let error as LaunchError { throw error } catch let error as CgroupError {
            throw LaunchError(error, plan.wording)
        } catch let error as SystemError { throw LaunchError(error) } catch {
            throw LaunchError(.setup, "\(error)")
        }
        return path
    }

    /// Whether somebody has stopped the scope: the holder got the stop signal, which it blocks, or was killed.
    func outsideStop(_ signal: Signal, within patience: Duration) -> OutsideStop? {
        let deadline = BootTime.now + patience
        while true {
            if holder.helper.process.hasEnded { return .killed }
            if ProcessTable.hasPending(signal, holder.helper.process.pid) { return .asked }
            var poller = Poller()
            poller.add(holder.helper.descriptor)
            let left = deadline - .now
            if poller.wait(max(.zero, min(left, .milliseconds(1))))[0] { return .killed }
            if left <= .zero { return nil }
        }
    }

    /// Leaves the holder, and so the scope, to the guard.
    consuming func abandon() { holder.isLeftToGuard = true }
}
