internal import CLinux
internal import Cgroups
internal import Glibc
internal import LinuxSystem
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
    ///   - command: what becomes the job's first process, waiting.
    ///   - holder: what keeps the job's scope.
    ///   - guardian: the guard, which gets a scope of its own.
    /// - Throws: why there is no scope. What was made of it goes with its processes.
    static func start(
        _ plan: ScopePlan, by manager: borrowing ServiceManager, command: borrowing HeldProgram,
        holder: consuming HolderProcess, guardian: JobGuard, layout: CgroupLayout
    ) throws(LaunchError) -> JobScope {
        let cgroupBefore = ThisProcess.cgroupHash
        command.awaitScope(cgroupBefore)
        try guardian.awaitScope(cgroupBefore, keptBy: holder)
        let pids = [
            command.pidfd: command.pid, holder.process.descriptor.rawValue: holder.process.pid,
            guardian.descriptor: guardian.pid ?? 0,
        ]
        let started = try plan.start(
            by: manager, plan.jobScope(members: [command.pidfd, holder.process.descriptor.rawValue]),
            beside: plan.guardScope(guardian: guardian.descriptor), members: pids)
        try holder.check()
        // The manager's word is not enough.
        let path = try membership(of: command.pid)
        guard path.hasSuffix("/" + plan.name), try membership(of: holder.process.pid) == path else {
            throw LaunchError(.setup, "systemd made \(plan.name), but the job's process is in \(path)")
        }
        do {
            let cgroup = try ScopeCgroup(path, in: layout)
            try cgroup.setAside([holder.process.pid, command.pid])
            try cgroup.passControllersOn()
            try cgroup.checkWeight(plan.limits)
        } catch {
            throw LaunchError(error)
        }
        return JobScope(name: plan.name, path: path, started: started, holder: holder, plan: plan, layout: layout)
    }

    private static func membership(of pid: ProcessID) throws(LaunchError) -> String {
        do { return try CgroupLayout.unifiedPath(of: pid) } catch { throw LaunchError(error) }
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
        guard plan.isNamed || wasStopped, let manager = try? ServiceManager(plan.scope) else { return }
        let deadline = BootTime.now + .seconds(5)
        for name in [plan.name, plan.companionName] where (try? manager.waitUntilGone(name, until: deadline)) == nil {
            return
        }
        if wasStopped { ScopeCgroup.removeLeftover(path, in: layout) }
    }

    /// Leaves the scope to the guard.
    consuming func abandon() { holder.isLeftToGuard = true }
}

/// A process that does nothing, and ends once nobody holds its other end.
struct HolderProcess: ~Copyable {
    let process: ProcessDescriptor
    let control: SharedDescriptor
    /// Where its program was looked for first.
    let program: ByteString
    var isLeftToGuard = false

    private init(_ helper: consuming Helper, _ program: ByteString) {
        self.program = program
        process = helper.process
        control = SharedDescriptor(helper.control)
    }

    static func start(_ program: GuardProgram) throws(LaunchError) -> HolderProcess {
        let helper = try program.start(as: "cgrun-holder") { socket throws(SystemError) in
            try GuardProcess.send(.hold, guard_message(), [], to: socket)
        }
        return HolderProcess(helper, program.candidates[0])
    }

    /// - Throws: when it left by itself: then its program is none.
    func check() throws(LaunchError) {
        guard process.hasEnded else { return }
        throw LaunchError(
            .setup, "the guard's program left at once; \(program) may be no guard",
            remedy: "set CGRUN_GUARD to the path of cgrun-guard")
    }

    /// Says that a manager is being asked to move it out of the cgroups with this hash.
    func awaitScope(_ cgroupBefore: UInt64) throws(SystemError) {
        try GuardProcess.send(.scope, guard_message(), job: cgroupBefore, [], to: control.descriptor.rawValue)
    }

    /// Has it kill a cgroup when nobody holds its other end any more.
    func arm(_ killFile: borrowing Descriptor) throws(SystemError) {
        try GuardProcess.send(.hold, guard_message(), [killFile.rawValue], to: control.descriptor.rawValue)
    }

    deinit {
        guard !isLeftToGuard else { return }
        // A stopped process would not notice that it is let go.
        try? process.send(.kill)
        _ = try? process.waitForEnd()
    }
}
