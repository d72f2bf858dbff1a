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
        let layout: Hierarchies
        do { layout = try Hierarchies.current() } catch {
            add("cgroups", error)
            return
        }
        findings.append(
            Finding(
                subject: "cgroups", isAvailable: true,
                detail: "\(layout.mode.rawValue): cgroup2 on \(layout.mount)"
                    + (layout.legacyPaths.isEmpty
                        ? "" : ", v1 " + layout.legacyPaths.map(\.controller.rawValue).sorted().joined(separator: " ")))
        )
        // Limits are tried where jobs would be.
        let scope = addSystemd(layout, isWanted: cgroupParent == nil)
        let parent = scope?.path ?? cgroupParent
        findings.append(
            probe("job cgroup", .none, layout, parent) { site in
                "\(site.path.prefix { $0 != "-" })-…, killed by cgroup.kill (Linux \(Machine.kernelRelease))"
            })
        addGuard()
        for kind in LimitKind.all {
            guard let limits = try? kind.samples.resolved(), limits.values.kinds.contains(kind) else {
                findings.append(
                    Finding(subject: kind.flag, isAvailable: false, detail: "nothing to limit on this machine"))
                continue
            }
            findings.append(
                probe(kind.flag, limits, layout, parent) { site in
                    let steps = (try? site.steps()) ?? []
                    return steps.compactMap { $0.value == nil ? nil : $0.path.split(separator: "/").last }
                        .filter { $0 != "cgroup.subtree_control" }.joined(separator: ", ")
                })
        }
        // The scope is needed until here, and ends with its `ProbeScope`.
        withExtendedLifetime(scope) {}
    }

    /// - Returns: a scope to try limits in, where jobs get one.
    private mutating func addSystemd(_ layout: Hierarchies, isWanted: Bool) -> ProbeScope? {
        var spec = LaunchSpec(JobSpec(["true"]))
        spec.manager = .systemd
        let subject = "--cgroup-manager systemd"
        do throws(LaunchError) {
            let scope = try ProbeScope(spec, layout)
            spec.manager = .auto
            var isChosen = false
            if isWanted, case .systemd = try spec.resolveManager(layout) { isChosen = true }
            findings.append(
                Finding(
                    subject: subject, isAvailable: true,
                    detail:
                        "systemd \(scope.version ?? "of unknown version"), \(spec.unit.managerDomain.rawValue) manager"
                        + (isChosen ? ", which auto takes" : "")))
            if isChosen { return scope }
            return nil
        } catch {
            findings.append(
                Finding(subject: subject, isAvailable: false, detail: error.reason, remedy: error.remedy))
            return nil
        }
    }

    private func probe(
        _ subject: String, _ limits: ResolvedLimits, _ layout: Hierarchies, _ parent: String?,
        detail: (PlannedCgroup) -> String
    ) -> Finding {
        do {
            let place = try ParentCgroups(layout, parentPath: parent, limits: limits)
            let site = try PlannedCgroup(place, name: JobName.make().cgroup, limits: limits)
            try site.probe()
            return Finding(subject: subject, isAvailable: true, detail: detail(site))
        } catch {
            return Finding(
                subject: subject, isAvailable: false, detail: error.reason(.options), remedy: error.remedy(.options))
        }
    }

    private mutating func add(_ subject: String, _ error: CgroupError) {
        findings.append(
            Finding(
                subject: subject, isAvailable: false, detail: error.reason(.options), remedy: error.remedy(.options)))
    }

    /// Starts a guard: the file may be another program, or one that cannot run here.
    private mutating func addGuard() {
        do throws(LaunchError) {
            let program = try GuardProgram()
            let guardian = try GuardClient(program)
            defer { guardian.dismiss() }
            try guardian.awaitWatch()
            findings.append(Finding(subject: "guard", isAvailable: true, detail: program.path.description))
        } catch {
            findings.append(Finding(subject: "guard", isAvailable: false, detail: error.reason, remedy: error.remedy))
        }
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
        let holder = try HolderProcess.start(program)
        // A program that is not a guard would be gone before the manager moves it, and the empty scope would stay.
        try guardian.awaitWatch()
        guardian.pin()
        try holder.check()
        let plan = ScopePlan(spec, .none, jobName: JobName.make().cgroup, controllers: Controller.allCases)
        scope = try OpenScope.open(plan, by: manager, holder, guardian, layout)
    }

    deinit { guardian.dismiss() }
}
