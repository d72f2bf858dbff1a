internal import Cgroups
internal import LinuxSystem
public import SandboxValues
internal import SystemdBus

/// Where this program's jobs are, on a machine booted with systemd.
///
/// Jobs of `run` and `Job` are directories that the program makes itself, without asking anybody. In a
/// service or a login session it may not make any: those cgroups are systemd's. `enter` gets it a
/// scope to make them in.
///
/// ```swift
/// try HostScope.enter()
/// let result = try await run(.name("convert"), arguments: ["in.png", "out.webp"], output: .discarded)
/// ```
public struct HostScope: Sendable, Equatable {
    /// The scope that holds the jobs; `nil` where the program had a place for them before.
    public let unit: String?
    /// The scope that this program was moved to; `nil` where it stayed.
    public let programUnit: String?
    /// The directory in which the jobs' cgroups are made.
    public let cgroup: String
    /// Why jobs can be made there, for people.
    public let reason: String

    /// Gets a delegated scope for the jobs of this program, and moves the program into another one
    /// beside it, together with the jobs' guard. One call of `StartTransientUnit` makes both; the jobs
    /// need no more of them.
    ///
    /// Call it once, before the first job, from any thread. It takes as long as the manager takes: some
    /// 10 ms, and at most 30 s. Processes that the program has started before stay where they are.
    /// Where the program already is in a unit with `Delegate=`, at the beginning of a cgroup namespace, in a job of
    /// cgrun's, or has such a scope, nothing is done, and the result has that place. (A user's own manager does not mark its
    /// delegated units: there the program gets a scope all the same.)
    ///
    /// `limits` hold for all jobs together, and not for the program; they are read back. The limits of
    /// a slice or a user that both scopes are in stay, those of the service or session that the
    /// program leaves do not.
    ///
    /// Stopping the program's scope stops the program with SIGTERM, and the jobs with SIGKILL;
    /// stopping the jobs' scope kills the jobs, and later ones fail until this is called again. When the
    /// program is killed, the guard kills the jobs. When both are killed in the same instant, the
    /// process that keeps the jobs' scope does (`cgrun-holder`), and so does systemd once no process is
    /// left in the program's scope: a job lives on only if all three are killed at once and a process
    /// that the program started by other means is left there. A guard that is killed alone is
    /// replaced; a holder is not, and takes no job along. Where program and guard are killed at once,
    /// systemd may leave the directory of a scope that some process was still on its way out of, and
    /// before 255 that of one whose program was killed during this call: empty, and without a unit.
    ///
    /// - Parameters:
    ///   - unit: whose manager, names and properties; the name is that of the jobs' scope.
    ///   - limits: `nil` values are no limits.
    /// - Throws: when the machine was not booted with systemd, no manager can be reached or it refuses,
    ///   a limit means nothing or cannot be enforced, or limits are given where the program has a place already. The
    ///   program may have been moved all the same.
    @discardableResult
    public static func enter(
        _ unit: UnitOptions = UnitOptions(), limits: Limits = Limits()
    ) throws(LaunchError) -> HostScope {
        try limits.check()
        let runtime = try JobRuntime.shared()
        return try runtime.scope.withLock { scope throws(LaunchError) in
            let layout = try layout()
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

    private static func layout() throws(LaunchError) -> Hierarchies {
        do { return try Hierarchies.current() } catch { throw LaunchError(error) }
    }

    /// A place that needs no manager.
    private static func given(_ layout: Hierarchies) -> HostScope? {
        guard let place = try? layout.placeOfJobs() else { return nil }
        let reason: String
        if let job = layout.ownJob {
            reason = "inside the job \(job)"
        } else if let delegation = layout.delegation {
            reason = delegation
        } else {
            return nil
        }
        return HostScope(unit: nil, programUnit: nil, cgroup: place, reason: reason)
    }
}

/// A scope that was made for this program's jobs. It goes with this program.
final class HeldScope: Sendable {
    let place: HostScope
    private let scope: Locked<OpenScope>

    /// Whether systemd has not ended it.
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
        let holder = try HolderProcess.start(GuardProgram())
        // It goes with the program, and if that is killed meanwhile, waits until it is there: a scope
        // whose processes were dead before they came stays.
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
