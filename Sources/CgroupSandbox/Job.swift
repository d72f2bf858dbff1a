public import Cgroups
public import LinuxSystem

/// A running job: a command in a cgroup of its own, with a guard that ends it if this process cannot.
///
/// Launch, supervise, finish, from one thread. Nothing is left of a job once `finish` returned.
public struct Job: ~Copyable {
    public let id: String
    public let spec: JobSpec
    let cgroup: JobCgroup
    let main: ProcessDescriptor
    let guardian: JobGuard
    /// What the guard knows this job by.
    let number: UInt64
    let parent: ParentWatch?
    let joinedLate: Bool
    /// What dead launchers had left beside this job, and was removed before it started.
    public let swept: [Sweep.Leftover]
    var state = State()
    var report: Report

    /// What happened so far.
    struct State {
        let startedAt = BootTime.now
        var status: ExitStatus?
        var stop: Stop?
        var signals = SignalLog()
        var killedAt: BootTime?
        var endedAt: BootTime?
    }

    /// The command's pid.
    public var pid: ProcessID { main.pid }
    /// The pid of the guard that looks after the job at the moment.
    public var guardPID: ProcessID? { guardian.pid }
    /// The job's cgroup as an absolute path.
    public var cgroupPath: String { cgroup.path }

    /// Starts a job. When this returns, the command runs inside its cgroup, every limit has been
    /// read back, and a guard holds what it needs to kill it.
    ///
    /// - Parameters:
    ///   - prepared: from `PreparedJob`, made from the specification.
    ///   - parent: the process whose loss ends the job; `nil` for none.
    ///   - recovery: what the guard executes after a loss.
    /// - Throws: why not. Nothing is left behind then.
    public static func launch(
        _ prepared: consuming PreparedJob, parent: ParentWatch? = nil, recovery: LossRecovery? = nil
    ) throws(LaunchError) -> Job {
        try prepared.launch(parent: parent, recovery: recovery)
    }
}

/// A job whose place in the hierarchies is known, but of which nothing exists yet.
public struct PreparedJob: ~Copyable {
    public let id: String
    public let spec: JobSpec
    /// What `launch` will make and write, in order.
    public let site: CgroupSite
    /// The report as it stands before the start.
    public let report: Report
    private let guardProgram: GuardProgram

    /// - Throws: when the machine or the caller's rights cannot hold such a job, as far as that can be told.
    public init(_ spec: JobSpec) throws(LaunchError) {
        let (manager, reason) = try spec.manager.resolved()
        let (id, name) = JobName.make()
        let site: CgroupSite
        do {
            site = try CgroupSite(
                CgroupLayout.current(), parentPath: spec.cgroupParent, name: name, limits: spec.limits)
        } catch { throw LaunchError(error) }
        guardProgram = try GuardProgram()
        report = Report(
            id: id, spec: spec, cgroup: site.path, hierarchy: site.layout.mode,
            manager: manager, managerReason: reason)
        self.id = id
        self.spec = spec
        self.site = site
    }

    consuming func launch(parent: ParentWatch?, recovery: LossRecovery?) throws(LaunchError) -> Job {
        if parent?.isLostAlready == true {
            throw LaunchError(.parentLost, "the process that started this one is gone already")
        }
        // What a dead launcher left may hold the memory or the port that this job needs.
        let swept = Sweep.siblings(of: site)

        let guardian = try JobGuard(guardProgram)
        // The guard starts while the cgroups are made; it knows their names, so a loss leaves none of them.
        let number = try guardian.register(
            GuardProcess.Ward(
                name: site.name, tags: site.tags, parents: site.parents, parent: parent, recovery: recovery))
        let cgroup: JobCgroup
        do { cgroup = try site.create() } catch {
            guardian.dismiss()
            throw LaunchError(error)
        }
        let spawned: SpawnedProcess
        do throws(LaunchError) {
            try guardian.arm(number, cgroup.directories)
            spawned = try Self.start(spec, id: id, in: cgroup)
        } catch {
            try? cgroup.remove()
            guardian.dismiss()
            throw error
        }
        let joinedLate = spawned.joinedLate
        return Job(
            id: id, spec: spec, cgroup: cgroup, main: spawned.takeProcess(), guardian: guardian, number: number,
            parent: parent, joinedLate: joinedLate, swept: swept, report: report)
    }

    private static func start(
        _ spec: JobSpec, id: String, in cgroup: borrowing JobCgroup
    ) throws(LaunchError) -> SpawnedProcess {
        do {
            let joins = try cgroup.joinFiles()
            var job = spec
            job.setEnvironment(ByteString("CGRUN_JOB_ID=\(id)".utf8)!)
            var program = Program(
                candidates: job.candidates, arguments: spec.arguments, environment: job.environment)
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
            return try program.start(cgroup: cgroup.directory.descriptor.rawValue, joinFiles: joins.rawValues)
        } catch let error as SpawnError {
            throw LaunchError(error, command: spec.arguments[0].description)
        } catch let error as CgroupError {
            throw LaunchError(error)
        } catch let error as SystemError {
            throw LaunchError(error)
        } catch {
            throw LaunchError(.setup, "\(error)")
        }
    }
}
