internal import CLinux
internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemdBus

/// The scope of a job, with the process that keeps it from being collected before its statistics are read.
struct JobScope: ~Copyable {
    /// With its ending.
    let name: String
    /// As in `/proc/PID/cgroup`.
    let path: String
    let started: ServiceManager.Started
    private var holder: HolderProcess
    private let plan: ScopePlan
    private let layout: CgroupLayout

    /// Makes the scopes and moves the processes into them.
    ///
    /// - Parameters:
    ///   - holder: what keeps the job's scope.
    ///   - command: what the holder starts first; `nil` for nothing.
    ///   - guardian: the guard, which gets a scope of its own.
    /// - Throws: why there is no scope. What was made of it goes with its processes.
    static func start(
        _ plan: ScopePlan, by manager: borrowing ServiceManager, holder: consuming HolderProcess,
        startingFirst command: borrowing HeldProgram?, guardian: JobGuard, layout: CgroupLayout
    ) throws(LaunchError) -> JobScope {
        let cgroupBefore = ThisProcess.cgroupHash
        command?.awaitScope(cgroupBefore)
        try guardian.awaitScope(cgroupBefore, keptBy: holder)
        let held = holder.process.descriptor.rawValue
        let companion = guardian.descriptor
        let started: ServiceManager.Started
        do throws(LaunchError) {
            started = try plan.start(
                by: manager, plan.jobScope(members: [held]), beside: plan.guardScope(guardian: companion),
                members: [held: holder.process.pid, companion: guardian.pid ?? 0])
        } catch {
            // One that is none may be what the manager could not find.
            try guardian.check()
            throw error
        }
        try guardian.check()
        let path = try arrange(plan, keptBy: holder, layout)
        return JobScope(name: plan.name, path: path, started: started, holder: holder, plan: plan, layout: layout)
    }

    /// Makes sure that the holder is where it should be, and the scope ready for a job in it.
    ///
    /// - Returns: the scope's path.
    private static func arrange(
        _ plan: ScopePlan, keptBy holder: borrowing HolderProcess, _ layout: CgroupLayout
    ) throws(LaunchError) -> String {
        // The manager's word is not enough.
        guard let path = try? CgroupLayout.unifiedPath(of: holder.process.pid), !holder.process.hasEnded else {
            throw LaunchError(.setup, "the process that keeps \(plan.name) was killed")
        }
        guard path.hasSuffix("/" + plan.name) else {
            throw LaunchError(.setup, "systemd made \(plan.name), but the process that keeps it is in \(path)")
        }
        do {
            let cgroup = try ScopeCgroup(path, in: layout)
            try cgroup.setAside([holder.process.pid])
            try cgroup.passControllersOn()
            try cgroup.checkWeight(plan.limits)
        } catch {
            throw LaunchError(error)
        }
        return path
    }

    /// Whether the process that keeps the scope was killed, as happens when the unit is stopped.
    func wasEmptied(within patience: Duration) -> Bool {
        var poller = Poller()
        poller.add(holder.process.descriptor.rawValue)
        return poller.wait(patience)[0]
    }

    /// Gives both scopes back; the manager collects them. Where their name is the caller's, it can be
    /// used again when this returns.
    ///
    /// - Parameters:
    ///   - wasStopped: the manager ended it already.
    ///   - dismissGuard: done once the job's scope is let go; the manager would stop it otherwise.
    consuming func release(wasStopped: Bool, _ dismissGuard: () -> Void) {
        let (plan, path, layout) = (plan, path, layout)
        _ = consume self
        dismissGuard()
        guard plan.isNamed || wasStopped else { return }
        Self.awaitEnd(of: plan, removing: wasStopped ? path : nil, layout)
    }

    /// Waits until both units are gone, but not for ever.
    ///
    /// - Parameter path: the scope of a job that others have ended; systemd may leave its directory.
    private static func awaitEnd(of plan: ScopePlan, removing path: String?, _ layout: CgroupLayout) {
        guard let manager = try? ServiceManager(plan.scope) else { return }
        let deadline = BootTime.now + .seconds(5)
        for name in [plan.name, plan.companionName] where (try? manager.waitUntilGone(name, until: deadline)) == nil {
            return
        }
        if let path { ScopeCgroup.removeLeftover(path, in: layout) }
    }

    /// Sees to it that nothing is left of scopes in which no job came to run.
    ///
    /// - Parameter dismissGuard: ends the guard, and with it the scopes.
    static func clearAway(
        _ plan: ScopePlan, _ guardian: JobGuard, _ layout: CgroupLayout, _ dismissGuard: () -> Void
    ) {
        // Told by the guard's: the job's own may have no process that would tell.
        let beside = guardian.pid.flatMap { try? CgroupLayout.unifiedPath(of: $0) }
        dismissGuard()
        guard let beside, beside.hasSuffix("/" + plan.companionName) else { return }
        awaitEnd(of: plan, removing: beside.dropLast(plan.companionName.count) + plan.name, layout)
    }

    /// Leaves the scope to the guard.
    consuming func abandon() { holder.isLeftToGuard = true }
}
