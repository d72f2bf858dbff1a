internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdBus

/// A job whose place is known, but of which nothing exists yet.
public struct PreparedJob: ~Copyable {
    /// The job's own number, as in its cgroup's name and its report.
    public let id: String
    /// What was asked for.
    public let spec: JobSpec
    /// The report as it stands before the start.
    public let report: Report
    /// What the job's cgroup will be called.
    private let name: String
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

    /// What a job gets from the program that launches it.
    struct Surroundings {
        /// The process whose loss ends the job; `nil` for none.
        var parent: ParentWatch?
        /// What the guard executes after a loss.
        var recovery: LossRecovery?
        /// A guard for this job among others; `nil` starts one for it alone.
        var guardian: JobGuard?
        /// Standard input, output and error, with no other descriptors; `nil`: the caller's, and all others.
        var streams: [CInt]?
        /// Whether leftovers beside the job are looked for.
        var sweeps = true
    }

    /// A directory in a place that is open already, for a specification that was checked.
    init(_ spec: JobSpec, in place: CgroupPlace, because reason: String) throws(LaunchError) {
        let (id, name) = JobName.make()
        let limits: ResolvedLimits
        let site: CgroupSite
        do throws(CgroupError) {
            limits = try spec.limits.resolved()
            site = try CgroupSite(place, name: name, limits: limits)
        } catch { throw LaunchError(error) }
        var report = Report(id: id, spec: spec, limits: limits, hierarchy: place.layout.mode)
        report.describe(site, because: reason)
        self.place = .directory(site)
        self.layout = place.layout
        self.name = name
        self.report = report
        self.id = id
        self.spec = spec
    }

    /// - Throws: when the machine or the caller's rights cannot hold such a job, as far as that can be told.
    public init(_ spec: JobSpec) throws(LaunchError) {
        try spec.check()
        let (id, name) = JobName.make()
        let layout: CgroupLayout
        let limits: ResolvedLimits
        do throws(CgroupError) {
            layout = try CgroupLayout.current()
            limits = try spec.limits.resolved()
        } catch { throw LaunchError(error) }
        // Before anything else: while systemd gets ready for this process, there is enough to do.
        let manager = try spec.resolveManager(layout)
        var report = Report(id: id, spec: spec, limits: limits, hierarchy: layout.mode)
        switch consume manager {
        case .cgroupfs(let reason):
            let site = try Self.site(spec.cgroupParent, layout, name, limits)
            report.describe(site, because: reason)
            place = .directory(site)
        case .systemd(let manager, let reason):
            let plan = ScopePlan(spec, limits, jobName: name)
            report.describe(plan, because: reason)
            place = .scope(ScopeSite(manager: manager, plan: plan))
        }
        self.layout = layout
        self.name = name
        self.report = report
        self.id = id
        self.spec = spec
    }

    private static func site(
        _ parent: String?, _ layout: CgroupLayout, _ name: String, _ limits: ResolvedLimits
    ) throws(LaunchError) -> CgroupSite {
        do {
            return try CgroupSite(CgroupPlace(layout, parentPath: parent, limits: limits), name: name, limits: limits)
        } catch { throw LaunchError(error) }
    }

    /// What `launch` will make and write, in order, for people.
    public func plan() throws(LaunchError) -> [String] {
        switch place {
        case .directory(let site):
            do { return try site.steps().map(\.description) } catch { throw LaunchError(error) }
        case .scope(let scope):
            let path = "\(scope.plan.name)/\(name)"
            return scope.plan.description(by: scope.manager.address.socket) + ["mkdir \(path)"]
                + scope.plan.limits.settings.map { $0.step(in: path).description }
        }
    }

    consuming func launch(_ surroundings: Surroundings) throws(LaunchError) -> LaunchedJob {
        if surroundings.parent?.isLostAlready == true {
            throw LaunchError(.parentLost, "the process that started this one is gone already")
        }
        let terminal = try Self.terminal(for: spec)
        let streams = surroundings.streams ?? [0, 1, 2]
        let session = spec.needsOwnSession(streams) ? try OwnSession(streams) : nil
        let guardian = if let shared = surroundings.guardian { shared } else { try JobGuard(GuardProgram()) }
        let start = Start(
            id: id, name: name, spec: spec, report: report, layout: layout, surroundings: surroundings,
            guardian: guardian, terminal: terminal, session: session)
        switch consume place {
        case .directory(let site): return try start.inDirectory(site)
        case .scope(let scope): return try start.inScope(scope.plan, scope.manager, GuardProgram())
        }
    }
}

extension PreparedJob {
    private static func terminal(for spec: JobSpec) throws(LaunchError) -> PseudoTerminal? {
        guard let settings = spec.terminal else { return nil }
        do { return try PseudoTerminal(settings, owner: spec.credentials?.uid) } catch {
            throw LaunchError(
                .setup, "there is no pseudo-terminal to be had: \(error)",
                remedy: "a devpts file system on /dev/pts must have one to spare (/proc/sys/kernel/pty/max)")
        }
    }
}

/// What both ways of starting need.
private struct Start {
    let id: String
    let name: String
    let spec: JobSpec
    var report: Report
    let layout: CgroupLayout
    let surroundings: PreparedJob.Surroundings
    let guardian: JobGuard
    let terminal: PseudoTerminal?
    /// Where the command is to be kept from the terminal of this process.
    let session: OwnSession?

    private var ownsGuard: Bool { surroundings.guardian == nil }

    func inDirectory(_ site: consuming CgroupSite) throws(LaunchError) -> LaunchedJob {
        // What a dead launcher left may hold the memory or the port that this job needs.
        let swept = surroundings.sweeps ? Sweep.siblings(of: site) : []

        // The guard starts while the cgroups are made; it knows their names, so a loss leaves none of them.
        let number = try guardian.register(ward(site))
        do throws(LaunchError) {
            let cgroup = try Self.create(site)
            let spawned: SpawnedProcess
            let startedAt: BootTime
            do throws(LaunchError) {
                try guardian.arm(number, cgroup.directories)
                startedAt = .now
                spawned = try start(in: cgroup)
            } catch {
                try? cgroup.remove()
                throw error
            }
            let joinedLate = spawned.joinedLate
            return LaunchedJob(
                id: id, spec: spec, cgroup: cgroup, main: spawned.takeProcess(), guardian: guardian, number: number,
                ownsGuard: ownsGuard, parent: surroundings.parent, joinedLate: joinedLate, scope: nil,
                isApart: session != nil, readsTerminal: session?.readsTerminal == true, terminal: terminal,
                swept: swept, state: LaunchedJob.State(startedAt: startedAt), report: report)
        } catch {
            guardian.release(number, ownsGuard: ownsGuard)
            throw error
        }
    }

    /// Only a manager may move a user's processes from one unit to another: it moves the holder, which starts the
    /// command once its cgroup is there.
    func inScope(
        _ plan: ScopePlan, _ manager: consuming ServiceManager, _ guardProgram: GuardProgram
    ) throws(LaunchError) -> LaunchedJob {
        // Before the guard: it would have a copy of its socket, and the guard would not notice a loss.
        var command: HeldProgram?
        let holder = try HolderProcess.start(guardProgram, startingFirst: program, &command)
        try guardian.start()
        var number: UInt64 = 0
        do throws(LaunchError) {
            let scope = try JobScope.start(
                plan, by: manager, holder: holder, startingFirst: command, guardian: guardian, layout: layout)
            var report = report
            report.describe(scope.started)
            let site: CgroupSite
            do {
                site = try CgroupSite(
                    CgroupPlace(layout, parentPath: scope.path, limits: plan.limits), name: name, limits: plan.limits,
                    parentSharesLimits: true)
            } catch { throw LaunchError(error) }
            report.containment.cgroup = site.path
            number = try guardian.register(ward(site))
            let cgroup = try Self.create(site)
            let spawned: SpawnedProcess
            let startedAt: BootTime
            do throws(LaunchError) {
                try guardian.arm(number, cgroup.directories)
                startedAt = .now
                do { spawned = try command.take()!.start(in: cgroup.directory.descriptor.rawValue) } catch {
                    throw LaunchError(error, command: commandName)
                }
            } catch {
                try? cgroup.remove()
                throw error
            }
            let joinedLate = spawned.joinedLate
            return LaunchedJob(
                id: id, spec: spec, cgroup: cgroup, main: spawned.takeProcess(), guardian: guardian, number: number,
                ownsGuard: ownsGuard, parent: surroundings.parent, joinedLate: joinedLate, scope: scope,
                isApart: session != nil, readsTerminal: session?.readsTerminal == true, terminal: terminal,
                swept: [], state: LaunchedJob.State(startedAt: startedAt), report: report)
        } catch {
            JobScope.clearAway(plan, guardian, layout) { guardian.release(number, ownsGuard: ownsGuard) }
            throw error
        }
    }

    private func ward(_ site: borrowing CgroupSite) -> GuardProcess.Ward {
        GuardProcess.Ward(
            name: site.name, tags: site.tags, parents: site.parents, parent: surroundings.parent,
            recovery: surroundings.recovery)
    }

    private static func create(_ site: borrowing CgroupSite) throws(LaunchError) -> JobCgroup {
        do { return try site.create() } catch { throw LaunchError(error) }
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
        program.descriptors = surroundings.streams
        program.terminal = terminal
        program.startsSession = session != nil
        program.replacedStreams = session?.streams ?? [:]
        program.closesAboveStandardError = spec.closesDescriptors
        program.signalMask = spec.signalMask
        program.keepsIgnoredSignals = spec.keepsIgnoredSignals
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
