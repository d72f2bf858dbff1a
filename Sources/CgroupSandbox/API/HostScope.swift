internal import Cgroups
internal import LinuxSystem
public import SandboxValues
internal import SystemdBus

/// The place of this program's jobs, on a machine booted with systemd.
///
/// The program itself makes a cgroup for each job of `run` and `Job`. In a service or a login session it may not do so:
/// those cgroups are systemd's. `enter` has systemd make a scope in which the program may make cgroups.
///
/// ```swift
/// try HostScope.enter()
/// let result = try await run(.name("convert"), arguments: ["in.png", "out.webp"], output: .discarded)
/// ```
public struct HostScope: Sendable, Equatable {
    /// The scope that holds the jobs; `nil` where the program had a place for them before.
    public let unit: String?
    /// The scope that this program was moved to; `nil` where it was not moved.
    public let programUnit: String?
    /// The directory in which the jobs' cgroups are made.
    public let cgroup: String
    /// Why jobs can be made there, for people.
    public let reason: String

    /// Has systemd make a delegated scope for the jobs of this program, and another scope beside it, into which systemd
    /// moves the program and the jobs' guard. One call of `StartTransientUnit` makes both; starting a job needs no more
    /// calls.
    ///
    /// Call it once, before the first job, from any thread. It waits for the manager: some 10 ms, and at most 30 s.
    /// Processes that the program has started before stay where they are. Where the program already is in a unit with
    /// `Delegate=`, at the root of a cgroup namespace, in a job of cgrun's, or has entered a scope before, nothing is
    /// done, and the result has the present place. (A user's own manager does not mark its delegated units: there the
    /// program gets a scope all the same.)
    ///
    /// `limits` hold for all jobs together, and not for the program; they are read back. The limits of a slice or a
    /// user that both scopes are in still hold; those of the service or session that the program leaves do not.
    ///
    /// Stopping the program's scope stops the program with SIGTERM, and the jobs with SIGKILL. Stopping the jobs' scope
    /// kills the jobs, and later jobs fail until `enter` is called again. When the program is killed, the guard kills
    /// the jobs. When program and guard are killed in the same instant, the holder of the jobs' scope (`cgrun-holder`)
    /// kills the jobs, and so does systemd once no process is left in the program's scope. So a job lives on only if
    /// program, guard and holder are killed at once while a process that the program started by other means is left in
    /// the program's scope. A guard that is killed alone is replaced. A holder that is killed alone is not replaced,
    /// and no job dies with it. Where program and guard are killed at once, systemd may leave the directory of a scope,
    /// empty and without a unit, if a process in it was still ending. systemd before 255 may also leave that of a scope
    /// whose program was killed during this call.
    ///
    /// - Parameters:
    ///   - unit: which manager makes the scopes, in which slice, and the name and properties of the jobs' scope.
    ///   - limits: what all jobs together may use.
    /// - Throws: when the machine was not booted with systemd, no manager can be reached or it refuses, a limit means
    ///   nothing or cannot be enforced, or limits are given where the program already has a place for jobs. The program
    ///   may have been moved all the same.
    @discardableResult
    public static func enter(
        _ unit: UnitOptions = UnitOptions(), limits: Limits = Limits()
    ) throws(LaunchError) -> HostScope {
        try limits.check()
        let runtime = try JobRuntime.shared()
        return try runtime.scope.withLock { scope throws(LaunchError) in
            let layout = try Hierarchies.current(.library)
            let present = if let scope, scope.exists { scope.place } else { given(layout) }
            if let present {
                guard limits.kinds.isEmpty else {
                    throw LaunchError(
                        .setup, "jobs are made in \(present.cgroup) already: \(present.reason)",
                        remedy: "set limits on that unit, or give them to each job")
                }
                return present
            }
            let made = try HeldScope(unit, limits, layout, runtime.jobs.guardian)
            scope = made
            return made.place
        }
    }

    /// The place where this program may make jobs without a scope; `nil` where there is none.
    private static func given(_ layout: Hierarchies) -> HostScope? {
        guard let place = try? layout.placeOfJobs(),
            let reason = layout.ownJob.map({ "inside the job \($0)" }) ?? layout.delegation
        else { return nil }
        return HostScope(unit: nil, programUnit: nil, cgroup: place, reason: reason)
    }
}

/// A scope that was made for this program's jobs, and ends with this program.
final class HeldScope: Sendable {
    let place: HostScope
    private let scope: Locked<OpenScope>

    /// Whether the scope is still there; it is not after `systemctl stop`, for example.
    var exists: Bool { isDirectory(place.cgroup) }

    fileprivate init(
        _ options: UnitOptions, _ limits: Limits, _ layout: Hierarchies, _ guardian: GuardClient
    ) throws(LaunchError) {
        guard ServiceManager.isBooted else {
            throw LaunchError(
                .setup, "there is no scope to be had: this machine was not booted with systemd",
                remedy: "leave HostScope.enter out; jobs are made below the program's own cgroup")
        }
        let program = ThisProcess.executablePath?.split(separator: "/").last.map(String.init) ?? "a program"
        let resolved: ResolvedLimits
        do { resolved = try limits.resolved() } catch { throw LaunchError(error) }
        let plan = ScopePlan(options, resolved, jobsOf: program)
        let manager = try ServiceManager.reach(plan.domain, layout, .library)
        let holder = try HolderProcess(GuardProgram())
        // systemd never removes a scope whose processes were dead before they were moved there. So the guard must run
        // first: if this program is killed meanwhile, the guard does not end before it is moved.
        try guardian.awaitWatch()
        try holder.check()
        let scope = try OpenScope.open(plan, by: manager, holder, guardian, layout)
        let cgroup: String
        do { cgroup = try layout.absolute(scope.path) } catch { throw LaunchError(error) }
        place = HostScope(
            unit: plan.name, programUnit: plan.companionName, cgroup: cgroup,
            reason: "the scope \(plan.name) was made for them")
        self.scope = Locked(scope)
    }
}
