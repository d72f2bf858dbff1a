internal import Cgroups
internal import LinuxSystem
internal import SystemdBus

/// A job whose place is known, but of which nothing exists yet.
public struct PreparedJob: ~Copyable {
    public let id: String
    public let spec: JobSpec
    /// The report as it stands before the start.
    public let report: Report
    /// What the job's cgroup will be called.
    private let name: String
    private let guardProgram: GuardProgram
    private let layout: CgroupLayout
    private let place: Place

    private enum Place: ~Copyable {
        /// A directory, where the caller may make one.
        case directory(CgroupSite)
        /// A scope that systemd makes, in which the job's cgroup then is a directory.
        case scope(ScopeSite)
    }

    private struct ScopeSite: ~Copyable {
        let manager: ServiceManager
        let plan: ScopePlan
    }

    /// - Throws: when the machine or the caller's rights cannot hold such a job, as far as that can be told.
    public init(_ spec: JobSpec) throws(LaunchError) {
        let (id, name) = JobName.make()
        let layout: CgroupLayout
        do { layout = try CgroupLayout.current() } catch { throw LaunchError(error) }
        var report = Report(id: id, spec: spec, hierarchy: layout.mode)
        let guardProgram = try GuardProgram()
        let place = try Self.place(spec, layout, name, &report)
        self.place = place
        self.guardProgram = guardProgram
        self.layout = layout
        self.name = name
        self.report = report
        self.id = id
        self.spec = spec
    }

    private static func place(
        _ spec: JobSpec, _ layout: CgroupLayout, _ name: String, _ report: inout Report
    ) throws(LaunchError) -> Place {
        switch try spec.resolveManager(layout) {
        case .cgroupfs(let reason):
            let site = try site(spec.cgroupParent, layout, name, spec.limits)
            report.describe(site, because: reason)
            return .directory(site)
        case .systemd(let manager, let reason):
            let plan = ScopePlan(spec, jobName: name)
            report.describe(plan, because: reason)
            return .scope(ScopeSite(manager: manager, plan: plan))
        }
    }

    private static func site(
        _ parent: String?, _ layout: CgroupLayout, _ name: String, _ limits: Limits
    ) throws(LaunchError) -> CgroupSite {
        do { return try CgroupSite(layout, parentPath: parent, name: name, limits: limits) } catch {
            throw LaunchError(error)
        }
    }

    /// What `launch` will make and write, in order, for people.
    public func plan() throws(LaunchError) -> [String] {
        switch place {
        case .directory(let site):
            do { return try site.steps().map(\.description) } catch { throw LaunchError(error) }
        case .scope(let scope):
            let path = "\(scope.plan.name)/\(name)"
            return scope.plan.description(by: scope.manager.address.socket) + ["mkdir \(path)"]
                + spec.limits.settings.map { "write \($0.value) > \(path)/\($0.file)" }
        }
    }

    consuming func launch(parent: ParentWatch?, recovery: LossRecovery?) throws(LaunchError) -> Job {
        if parent?.isLostAlready == true {
            throw LaunchError(.parentLost, "the process that started this one is gone already")
        }
        let start = Start(
            id: id, name: name, spec: spec, report: report, guardProgram: guardProgram, layout: layout,
            parent: parent, recovery: recovery)
        switch consume place {
        case .directory(let site): return try start.inDirectory(site)
        case .scope(let scope): return try start.inScope(scope.plan, scope.manager)
        }
    }
}

/// What both ways of starting need.
private struct Start {
    let id: String
    let name: String
    let spec: JobSpec
    var report: Report
    let guardProgram: GuardProgram
    let layout: CgroupLayout
    let parent: ParentWatch?
    let recovery: LossRecovery?

    func inDirectory(_ site: consuming CgroupSite) throws(LaunchError) -> Job {
        // What a dead launcher left may hold the memory or the port that this job needs.
        let swept = Sweep.siblings(of: site)

        let guardian = try JobGuard(guardProgram)
        // The guard starts while the cgroups are made; it knows their names, so a loss leaves none of them.
        let number = try guardian.register(ward(site))
        let cgroup = try Self.create(site, guardian)
        let spawned: SpawnedProcess
        do throws(LaunchError) {
            try guardian.arm(number, cgroup.directories)
            spawned = try start(in: cgroup)
        } catch {
            try? cgroup.remove()
            guardian.dismiss()
            throw error
        }
        let joinedLate = spawned.joinedLate
        return Job(
            id: id, spec: spec, cgroup: cgroup, main: spawned.takeProcess(), guardian: guardian, number: number,
            parent: parent, joinedLate: joinedLate, scope: nil, swept: swept, report: report)
    }

    /// The command's process is there from the beginning, because only a manager may move a user's
    /// processes from one unit to another; what it waits for is to be in its cgroup.
    func inScope(_ plan: ScopePlan, _ manager: consuming ServiceManager) throws(LaunchError) -> Job {
        let guardian = try JobGuard(guardProgram)
        try guardian.start()
        do throws(LaunchError) {
            let held: HeldProgram
            do { held = try program.hold() } catch { throw LaunchError(error, command: commandName) }
            let scope = try JobScope.start(
                plan, by: manager, command: held, guardian: guardian, program: guardProgram, layout: layout)
            var report = report
            report.describe(scope.started)
            let site: CgroupSite
            do {
                site = try CgroupSite(
                    layout, parentPath: scope.path, name: name, limits: spec.limits, parentSharesLimits: true)
            } catch { throw LaunchError(error) }
            report.containment.cgroup = site.path
            let number = try guardian.register(ward(site, hold: scope.hold))
            let cgroup = try Self.create(site, guardian)
            let spawned: SpawnedProcess
            do throws(LaunchError) {
                try guardian.arm(number, cgroup.directories)
                try enter(cgroup, held.pid)
                do { spawned = try held.release() } catch { throw LaunchError(error, command: commandName) }
            } catch {
                try? cgroup.remove()
                throw error
            }
            return Job(
                id: id, spec: spec, cgroup: cgroup, main: spawned.takeProcess(), guardian: guardian, number: number,
                parent: parent, joinedLate: true, scope: scope, swept: [], report: report)
        } catch {
            guardian.dismiss()
            throw error
        }
    }

    private func ward(_ site: borrowing CgroupSite, hold: SharedDescriptor? = nil) -> GuardProcess.Ward {
        GuardProcess.Ward(
            name: site.name, tags: site.tags, parents: site.parents, parent: parent, recovery: recovery, hold: hold)
    }

    private static func create(_ site: borrowing CgroupSite, _ guardian: JobGuard) throws(LaunchError) -> JobCgroup {
        do { return try site.create() } catch {
            guardian.dismiss()
            throw LaunchError(error)
        }
    }

    private func enter(_ cgroup: borrowing JobCgroup, _ pid: ProcessID) throws(LaunchError) {
        let isInside: Bool
        do {
            try cgroup.directory.write(String(pid), to: "cgroup.procs")
            isInside = try layout.absolute(CgroupLayout.unifiedPath(of: pid)) == cgroup.path
        } catch {
            throw LaunchError(error)
        }
        guard isInside else { throw LaunchError(.setup, "the job's process did not enter \(cgroup.path)") }
    }

    // MARK: The command

    private var commandName: String { spec.arguments[0].description }

    private var program: Program {
        var job = spec
        job.setEnvironment(ByteString("CGRUN_JOB_ID=\(id)".utf8)!)
        var program = Program(candidates: job.candidates, arguments: spec.arguments, environment: job.environment)
        // Sockets that were handed to this process are for the command.
        if spec.environmentValue("LISTEN_PID").map(Array.init) == Array("\(ThisProcess.id)".utf8) {
            program.variableWithOwnPID = "LISTEN_PID"
        }
        program.workingDirectory = spec.workingDirectory
        program.credentials = spec.credentials
        program.closesAboveStandardError = spec.closesDescriptors
        program.signalMask = spec.signalMask
        // Inherited, it would exempt the job from its own memory limit's OOM kill.
        program.resetsOOMScore = ThisProcess.oomScoreAdjustment == -1000
        return program
    }

    private func start(in cgroup: borrowing JobCgroup) throws(LaunchError) -> SpawnedProcess {
        let joins: JobCgroup.JoinFiles
        do { joins = try cgroup.joinFiles() } catch { throw LaunchError(error) }
        do {
            return try program.start(cgroup: cgroup.directory.descriptor.rawValue, joinFiles: joins.rawValues)
        } catch {
            throw LaunchError(error, command: commandName)
        }
    }
}
