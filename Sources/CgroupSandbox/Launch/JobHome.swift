internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

/// Where a job's cgroup is made, and what the launcher gives back afterwards: a directory in a cgroup of the caller's,
/// or a scope that systemd makes. Only the types that conform know which.
///
/// A launch calls `open`, tells the guard, makes the cgroup, and calls `start`. If it fails on the way, it calls
/// `clearAway`. When the job is over, its driver calls `release` or `abandon`, once.
protocol JobHome: AnyObject, Sendable {
    /// What reports say of the home, as far as it is known.
    var facts: JobFacts.Home { get }
    /// What `open` and the making of the cgroup will do, in order, for people.
    func plan() throws(CgroupError) -> [String]
    /// Makes the home ready for the job.
    ///
    /// - Parameter program: the command, which is not started yet.
    /// - Returns: where the job's cgroup is to be made.
    func open(_ program: Program, _ guardian: GuardClient) throws(LaunchError) -> PlannedCgroup
    /// What else `open` did, for people.
    var notes: [String] { get }
    /// Starts the command in its cgroup, once the guard knows of it.
    ///
    /// - Parameter wording: whether errors call limits by the library's names or by options.
    func start(
        _ program: Program, in cgroup: borrowing JobCgroup, _ wording: Wording
    ) throws(LaunchError) -> SpawnedProcess
    /// Whether, and how, somebody else has stopped all that was in the home; `nil` for not.
    ///
    /// - Parameters:
    ///   - signal: the job's stop signal.
    ///   - status: how the command has ended just now; `nil`: it had ended before.
    func outsideStop(_ signal: Signal, _ status: ExitStatus?) -> OutsideStop?
    /// Gives the home back. If the caller chose its name, the name can be used again when this returns.
    ///
    /// - Parameters:
    ///   - wasStopped: whether somebody else had stopped the scope already.
    ///   - letGo: has the guard forget the job.
    func release(wasStopped: Bool, _ letGo: () -> Void)
    /// Leaves the home to the guard, together with processes that do not die.
    func abandon()
    /// Removes what `open` has made, after a launch that failed.
    ///
    /// - Parameter letGo: has the guard forget the job.
    func clearAway(_ guardian: GuardClient, _ letGo: () -> Void)
}

/// How somebody else than cgrun has stopped all processes of a job.
enum OutsideStop: Sendable {
    /// They got the stop signal.
    case asked
    case killed
}

/// A directory in a cgroup of the caller's.
final class DirectoryHome: JobHome {
    let site: PlannedCgroup
    private let sweeps: Bool
    let facts: JobFacts.Home
    /// The leftovers of dead launchers that were removed before the job's start.
    private let swept = Locked<[Sweep.Leftover]>([])

    /// - Parameter sweeps: whether leftovers beside the job are looked for.
    init(_ site: PlannedCgroup, because reason: String, sweeps: Bool) {
        self.site = site
        self.sweeps = sweeps
        let sweep = "the next cgrun beside it, or cgrun sweep, kills what both have left"
        facts = JobFacts.Home(
            manager: .cgroupfs, reason: reason,
            layers: [.launcher, .guardian, Report.Layer(name: "sweep", detail: sweep)])
    }

    func plan() throws(CgroupError) -> [String] { try site.steps().map(\.description) }

    func open(_ program: Program, _ guardian: GuardClient) -> PlannedCgroup {
        // What a dead launcher left may hold the memory or the port that this job needs.
        if sweeps { swept.withLock { $0 = Sweep.siblings(of: site) } }
        return site
    }

    var notes: [String] { swept.withLock { $0.map { "swept \($0.text)" } } }

    func start(
        _ program: Program, in cgroup: borrowing JobCgroup, _ wording: Wording
    ) throws(LaunchError) -> SpawnedProcess {
        let joins: [SharedDescriptor]
        do { joins = try cgroup.joinFiles() } catch { throw LaunchError(error, wording) }
        // Nobody closes the files before the command has entered its groups by them.
        defer { withExtendedLifetime(joins) {} }
        do {
            return try program.start(
                cgroup: cgroup.directory.descriptor.rawValue, joinFiles: joins.map { $0.descriptor.rawValue })
        } catch { throw LaunchError(error, command: program.arguments[0].description, wording) }
    }

    func outsideStop(_ signal: Signal, _ status: ExitStatus?) -> OutsideStop? { nil }
    func release(wasStopped: Bool, _ letGo: () -> Void) { letGo() }
    func abandon() {}
    func clearAway(_ guardian: GuardClient, _ letGo: () -> Void) { letGo() }
}
