internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdBus

/// A job whose place is known, but of which nothing exists yet.
public struct PreparedJob: Sendable {
    /// The job's ID, as in its cgroup's name and its report.
    public let id: String
    /// The specification that the job was prepared from.
    public let spec: LaunchSpec
    /// What is known of the job before its start.
    package let facts: JobFacts
    /// What the job's cgroup will be called.
    private let name: String
    private let home: any JobHome
    /// Whether errors call limits by the library's names or by options.
    private let wording: Wording

    /// What a job gets from the program that launches it.
    struct Surroundings {
        /// The process whose loss ends the job; `nil` for none.
        var parent: ParentWatch?
        /// What the guard executes after a loss.
        var recovery: LossRecovery?
        /// The command's standard streams, without other descriptors; `nil`: it gets all descriptors of this process.
        var streams: [CInt]?
    }

    private init(
        _ spec: LaunchSpec, _ id: (id: String, cgroup: String), _ limits: ResolvedLimits, _ layout: Hierarchies,
        _ home: any JobHome, cgroup: String?, _ wording: Wording
    ) {
        self.wording = wording
        self.spec = spec
        self.id = id.id
        name = id.cgroup
        self.home = home
        var facts = JobFacts(id.id, spec.job, limits, layout.mode, home.facts, wording)
        facts.cgroup = cgroup
        self.facts = facts
    }

    /// A job in a directory that is open already, from a specification that the caller has checked.
    ///
    /// - Parameter sweeps: whether leftovers beside the job are looked for.
    init(_ job: JobSpec, in place: ParentCgroups, because reason: String, sweeps: Bool) throws(LaunchError) {
        let id = JobName.make()
        do throws(CgroupError) {
            let limits = try job.limits.resolved()
            let site = try PlannedCgroup(place, name: id.cgroup, limits: limits)
            let home = DirectoryHome(site, because: reason, sweeps: sweeps)
            self.init(LaunchSpec(job), id, limits, place.layout, home, cgroup: site.path, .library)
        } catch { throw LaunchError(error) }
    }

    /// A run of a service's command, in cgroups of the service's name.
    init(_ spec: LaunchSpec, of service: String, in place: ParentCgroups) throws(LaunchError) {
        try spec.job.check()
        do throws(CgroupError) {
            let limits = try spec.job.limits.resolved()
            let site = try PlannedCgroup(place, name: JobName.service(service), limits: limits)
            let home = DirectoryHome(site, because: "a service", sweeps: false)
            self.init(
                spec, (JobName.make().id, site.name), limits, place.layout, home, cgroup: site.path, .options)
        } catch { throw LaunchError(error, .options) }
    }

    /// Where the cgroups are, if that is a directory.
    var site: PlannedCgroup? { (home as? DirectoryHome)?.site }

    /// - Throws: when the machine or the caller's rights do not allow such a job, as far as that can be told.
    public init(_ spec: LaunchSpec) throws(LaunchError) {
        try spec.job.check()
        let id = JobName.make()
        let layout = try Hierarchies.current(.options)
        let limits: ResolvedLimits
        do { limits = try spec.job.limits.resolved() } catch { throw LaunchError(error, .options) }
        // Connects before anything else: systemd gets ready for this process while this process prepares the rest.
        switch try spec.resolveManager(layout) {
        case .cgroupfs(let reason):
            let site: PlannedCgroup
            do throws(CgroupError) {
                let place = try ParentCgroups(layout, parentPath: spec.job.cgroupParent, limits: limits)
                site = try PlannedCgroup(place, name: id.cgroup, limits: limits)
            } catch { throw LaunchError(error, .options) }
            let home = DirectoryHome(site, because: reason, sweeps: true)
            self.init(spec, id, limits, layout, home, cgroup: site.path, .options)
        case .systemd(let manager, let reason):
            let plan = ScopePlan(spec, limits, jobName: id.cgroup)
            let home = ScopeHome(id.cgroup, plan, manager, layout, because: reason)
            self.init(spec, id, limits, layout, home, cgroup: nil, .options)
        }
    }

    /// What `launch` will make and write, in order, for people.
    public func plan() throws(LaunchError) -> [String] {
        do { return try home.plan() } catch { throw LaunchError(error, wording) }
    }
}

extension PreparedJob {
    /// Starts the job. When this returns, the command runs inside its cgroup, every limit has been read back, and the
    /// guard can kill the job.
    ///
    /// - Throws: why the job did not start. Nothing of it is left then.
    func launch(_ surroundings: Surroundings, _ jobs: GuardedJobs) throws(LaunchError) -> JobDriver {
        if surroundings.parent?.isLost == true {
            throw LaunchError(.parentLost, "the process that started this one is gone already")
        }
        let terminal = try Self.terminal(for: spec.job)
        let streams = surroundings.streams ?? [0, 1, 2]
        let session = spec.job.needsOwnSession(streams) ? try OwnSession(streams) : nil
        let program = program(surroundings.streams, terminal, session)
        var number: UInt64?
        do throws(LaunchError) {
            // The guard starts while the cgroups are made. It knows their names, so it can remove them after a loss.
            let site = try home.open(program, jobs.guardian)
            let ward = Ward(
                name: name, tags: site.tags, parents: site.parents, parent: surroundings.parent,
                recovery: surroundings.recovery)
            let registered = try jobs.guardian.register(ward)
            number = registered
            let cgroup: JobCgroup
            do { cgroup = try site.create() } catch { throw LaunchError(error, wording) }
            let startedAt: BootTime
            let spawned: SpawnedProcess
            do throws(LaunchError) {
                try jobs.guardian.arm(registered, cgroup.directories)
                startedAt = .now
                // Before the command runs: a launcher that is stopped in the next instant enforces nothing.
                if let moment = JobDriver.guardActs(on: spec.job, startedAt: startedAt) {
                    jobs.guardian.setDeadline(moment, of: registered)
                }
                spawned = try home.start(program, in: cgroup, wording)
            } catch {
                let reason = explain(error, cgroup)
                try? cgroup.remove()
                throw reason
            }
            var facts = facts
            facts.home = home.facts
            facts.cgroup = cgroup.path
            facts.joinedLate = spawned.joinedLate
            facts.parentIsHidden = surroundings.parent?.isHidden == true
            return JobDriver(
                spec.job, facts, cgroup, spawned.takeProcess(), home, registered, jobs, surroundings.parent,
                terminal: terminal, session: session, startedAt: startedAt)
        } catch {
            home.clearAway(jobs.guardian) { jobs.letGo(of: number) }
            throw error
        }
    }

    /// Takes over a job that an earlier process has launched.
    ///
    /// - Parameters:
    ///   - main: the process of the command; `nil`: it has ended, and what it has left goes on.
    ///   - note: what that process has noted at the cgroup.
    func adopt(
        _ cgroup: consuming JobCgroup, _ main: consuming ProcessDescriptor?, _ note: JobNote, _ jobs: GuardedJobs
    ) -> JobDriver {
        let ward = Ward(name: name, tags: cgroup.tags, parents: site?.parents ?? [])
        // A job that runs is adopted also where no guard can be had.
        let number = (try? jobs.guardian.register(ward)) ?? 0
        if number > 0 { try? jobs.guardian.arm(number, cgroup.directories) } else { jobs.startGuard() }
        var facts = facts
        facts.adopt(note)
        facts.cgroup = cgroup.path
        return JobDriver(
            spec.job, facts, cgroup, main, home, number, jobs, nil, terminal: nil, session: nil,
            startedAt: note.startedAt)
    }

    /// A job that does not start is first looked at for its own memory limit: the kernel says no more than that there is
    /// no memory, or that the arguments are too long.
    private func explain(_ error: LaunchError, _ cgroup: borrowing JobCgroup) -> LaunchError {
        guard let limit = facts.limits.memory, cgroup.hasMetMemoryLimit(limit) else { return error }
        return LaunchError(error, atMemoryLimit: limit, wording)
    }

    private static func terminal(for spec: JobSpec) throws(LaunchError) -> PseudoTerminal? {
        guard let settings = spec.terminal else { return nil }
        do { return try PseudoTerminal(settings, owner: spec.credentials?.uid) } catch {
            throw LaunchError(
                .setup, "there is no pseudo-terminal to be had: \(error)",
                remedy: "a devpts file system on /dev/pts must have one to spare (/proc/sys/kernel/pty/max)")
        }
    }

    private func program(_ streams: [CInt]?, _ terminal: PseudoTerminal?, _ session: OwnSession?) -> Program {
        var job = spec.job
        job.setEnvironment(ByteString("CGRUN_JOB_ID=\(id)".utf8)!)
        var program = Program(candidates: job.candidates, arguments: job.arguments, environment: job.environment)
        // Sockets that a service manager has handed to this process are meant for the command.
        if job.environmentValue("LISTEN_PID").map(Array.init) == Array("\(ThisProcess.id)".utf8) {
            program.variableWithOwnPID = "LISTEN_PID"
        }
        program.workingDirectory = job.workingDirectory
        program.credentials = job.credentials
        program.descriptors = streams
        program.terminal = terminal
        program.startsSession = session != nil
        program.replacedStreams = session?.streams ?? [:]
        program.closesAboveStandardError = spec.closesDescriptors
        program.keepsIgnoredSignals = job.keepsIgnoredSignals
        // A score of -1000 would exempt the job from the OOM kill at its own memory limit.
        program.resetsOOMScore = ThisProcess.oomScoreAdjustment == -1000
        return program
    }
}
