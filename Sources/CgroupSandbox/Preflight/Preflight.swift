internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdBus

/// What this machine can enforce for this caller.
public struct Preflight: Sendable {
    /// One thing that was tried.
    public struct Finding: Sendable, Equatable, Codable {
        /// An option, such as `--mem`, or what every job needs, such as `guard`.
        public var subject: String
        /// Whether it worked.
        public var isAvailable: Bool
        /// Which files and versions make it work, or why it does not work.
        public var detail: String
        /// What to do where it does not work.
        @Explicit public var remedy: String?

        enum CodingKeys: String, CodingKey {
            case subject, detail, remedy
            case isAvailable = "available"
        }
    }

    /// In the order in which they were tried.
    public var findings: [Finding] = []

    /// Whether a job can be contained at all, limits aside.
    public var canContain: Bool { findings.filter { !$0.subject.hasPrefix("--") }.allSatisfy(\.isAvailable) }

    /// Tries everything with cgroups of its own, which are removed again.
    public init(cgroupParent: String? = nil) {
        var found: Hierarchies?
        check("cgroups") { () throws(LaunchError) in
            let layout = try Hierarchies.current(.options)
            found = layout
            let legacy = layout.legacyPaths.map(\.controller.rawValue).sorted().joined(separator: " ")
            return "\(layout.mode.rawValue): cgroup2 on \(layout.mount)" + (legacy.isEmpty ? "" : ", v1 " + legacy)
        }
        guard let layout = found else { return }
        // Limits are tried where jobs would be.
        let scope = checkSystemd(layout, isWanted: cgroupParent == nil)
        let parent = scope?.path ?? cgroupParent
        check("job cgroup") { () throws(LaunchError) in
            let site = try Self.probe(.none, layout, parent)
            return "\(site.path.prefix { $0 != "-" })-…, killed by cgroup.kill (Linux \(Machine.kernelRelease))"
        }
        // The guard's file may be another program, or one that cannot run here.
        check("guard") { () throws(LaunchError) in
            let program = try GuardProgram()
            let guardian = try GuardClient(program)
            defer { guardian.dismiss() }
            try guardian.awaitWatch()
            return program.path.description
        }
        for kind in LimitKind.all {
            check(kind.flag) { () throws(LaunchError) in
                guard let limits = try? kind.samples.resolved(), limits.values.kinds.contains(kind) else {
                    throw LaunchError(.setup, "nothing to limit on this machine")
                }
                let site = try Self.probe(limits, layout, parent)
                let steps = (try? site.steps()) ?? []
                return steps.compactMap { $0.value == nil ? nil : $0.path.split(separator: "/").last }
                    .filter { $0 != "cgroup.subtree_control" }.joined(separator: ", ")
            }
        }
        // The scope is needed until here, and ends with its `ProbeScope`.
        withExtendedLifetime(scope) {}
    }

    /// - Parameter body: tries the subject, and returns what makes it work.
    private mutating func check(_ subject: String, _ body: () throws(LaunchError) -> String) {
        do {
            findings.append(Finding(subject: subject, isAvailable: true, detail: try body()))
        } catch {
            findings.append(Finding(subject: subject, isAvailable: false, detail: error.reason, remedy: error.remedy))
        }
    }

    /// - Returns: a scope to try limits in, where jobs get one.
    private mutating func checkSystemd(_ layout: Hierarchies, isWanted: Bool) -> ProbeScope? {
        var chosen: ProbeScope?
        check("--cgroup-manager systemd") { () throws(LaunchError) in
            var spec = LaunchSpec(JobSpec(["true"]))
            spec.manager = .systemd
            let scope = try ProbeScope(spec, layout)
            spec.manager = .auto
            if isWanted, case .systemd = try spec.resolveManager(layout) { chosen = scope }
            return "systemd \(scope.version ?? "of unknown version"), \(spec.unit.managerDomain.rawValue) manager"
                + (chosen == nil ? "" : ", which auto takes")
        }
        return chosen
    }

    /// Makes a cgroup with these limits, and removes it again.
    private static func probe(
        _ limits: ResolvedLimits, _ layout: Hierarchies, _ parent: String?
    ) throws(LaunchError) -> PlannedCgroup {
        do throws(CgroupError) {
            let place = try ParentCgroups(layout, parentPath: parent, limits: limits)
            let site = try PlannedCgroup(place, name: JobName.make().cgroup, limits: limits)
            try site.probe()
            return site
        } catch { throw LaunchError(error, .options) }
    }
}

/// A scope without a job, to try what a job could have. It ends with this object.
private final class ProbeScope {
    private let guardian: GuardClient
    private let scope: OpenScope

    var path: String { scope.path }
    var version: String? { scope.started.version }

    init(_ spec: LaunchSpec, _ layout: Hierarchies) throws(LaunchError) {
        let program = try GuardProgram()
        guard case .systemd(let manager, _) = try spec.resolveManager(layout) else {
            throw LaunchError(.setup, "systemd is not the manager")
        }
        guardian = try GuardClient(program)
        let holder = try HolderProcess(program)
        // A program that is not a guard would be gone before the manager moves it, and the empty scope would stay.
        try guardian.awaitWatch()
        guardian.pin()
        try holder.check()
        let plan = ScopePlan(spec, .none, jobName: JobName.make().cgroup, controllers: Controller.allCases)
        scope = try OpenScope.open(plan, by: manager, holder, guardian, layout)
    }

    deinit { guardian.dismiss() }
}
