internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdBus

/// The scope that a job gets, and the one beside it that holds the guard; or one for all jobs of a
/// program, and one that holds the program.
struct ScopePlan: Sendable {
    /// With its ending.
    let name: String
    /// The scope beside it: while this one is not there, the manager stops the other. So the manager guards the guard.
    let companionName: String
    let limits: ResolvedLimits
    /// Whose manager.
    let domain: ServiceManager.Domain
    private let options: UnitOptions
    private let title: String
    /// Whose jobs these are; `nil`: of a launcher that has one job.
    private let program: String?
    private let controllers: [Controller]

    /// - Parameter controllers: what to hand over; `nil` is what the limits need, and what the report reads from.
    init(_ spec: LaunchSpec, _ limits: ResolvedLimits, jobName: String, controllers: [Controller]? = nil) {
        let stem = spec.unit.name ?? jobName
        name = stem + ".scope"
        companionName = stem + "-guard.scope"
        self.limits = limits
        let needed = spec.job.limits.controllers
        self.controllers =
            controllers ?? Controller.allCases.filter { needed.contains($0) || $0 == .memory || $0 == .pids }
        domain = spec.unit.managerDomain
        options = spec.unit
        program = nil
        // Not of Swift's characters, any one of which may be as long as the whole command line.
        let command = spec.job.arguments.map(\.description).joined(separator: " ").unicodeScalars.prefix(200)
        title = "cgrun " + Substring(command)
    }

    /// - Parameter program: whose jobs.
    init(_ options: UnitOptions, _ limits: ResolvedLimits, jobsOf program: String) {
        let stem = options.name ?? JobName.make().cgroup
        name = stem + ".scope"
        companionName = stem + "-host.scope"
        self.limits = limits
        controllers = Controller.allCases
        domain = options.managerDomain
        self.options = options
        self.program = program
        title = "jobs of \(program)"
    }

    /// Whether somebody may want the unit's name again.
    var isNamed: Bool { options.name != nil }

    /// What else than processes is in the job's scope, and counts against its tasks: the holder.
    static let holderTasks = 1

    /// The job's scope, or the jobs'.
    func jobScope(members: [CInt]) -> ServiceManager.TransientScope {
        var properties =
            placement + [
                UnitProperty("Description", .string(options.description ?? title)),
                UnitProperty("PIDFDs", .descriptors(members)),
                UnitProperty("BindsTo", .strings([companionName])),
                UnitProperty("After", .strings([companionName])),
                UnitProperty("DelegateControllers", .strings(controllers.map(\.rawValue))),
                // A job that has lost launcher and guard has nobody to finish for.
                UnitProperty("KillSignal", .int32(Signal.kill.rawValue)),
                UnitProperty("SendSIGKILL", .bool(true)),
                UnitProperty("TimeoutStopUSec", .uint64(5_000_000)),
                UnitProperty("CollectMode", .string("inactive-or-failed")),
                // What an OOM kill means for the others is for cgrun to say, and for memory.oom.group.
                UnitProperty("OOMPolicy", .string("continue")),
            ]
        properties += limitProperties
        properties.removeAll { property in options.properties.contains { $0.name == property.name } }
        return ServiceManager.TransientScope(name: name, properties: properties + options.properties)
    }

    /// How errors call what was asked for.
    var wording: Wording { takesProgram ? .library : .options }

    /// Whether the scope beside the jobs' holds the program that starts them, and not only their guard.
    var takesProgram: Bool { program != nil }

    /// The scope beside it. One that holds a program is stopped as systemd stops all scopes, since a program has its
    /// own will, and an OOM kill of one of its processes does not stop it.
    func companionScope(members: [CInt]) -> ServiceManager.TransientScope {
        let common = [
            UnitProperty("PIDFDs", .descriptors(members)), UnitProperty("CollectMode", .string("inactive-or-failed")),
        ]
        let own =
            if let program {
                [
                    UnitProperty("Description", .string("\(program), whose jobs are in \(name)")),
                    UnitProperty("OOMPolicy", .string("continue")),
                ]
            } else {
                [
                    UnitProperty("Description", .string("cgrun: guard of \(name)")),
                    UnitProperty("KillSignal", .int32(Signal.kill.rawValue)),
                    UnitProperty("StopWhenUnneeded", .bool(true)),
                ]
            }
        return ServiceManager.TransientScope(name: companionName, properties: placement + own + common)
    }

    /// Has both scopes made, and waits until they are there.
    ///
    /// - Parameter members: the processes to be moved, by their pidfds.
    func start(
        by manager: borrowing ServiceManager, _ scope: ServiceManager.TransientScope,
        beside companion: ServiceManager.TransientScope, members: [CInt: ProcessID]
    ) throws(LaunchError) -> ServiceManager.Started {
        do {
            return try manager.startScope(scope, beside: companion) { Self.retreat($0, members: members) }
        } catch {
            throw error.operation == "connect"
                ? LaunchError(error, connectingTo: domain, wording) : LaunchError(error, starting: name)
        }
    }

    /// One line for each unit.
    func description(by manager: String) -> [String] {
        func line(_ unit: ServiceManager.TransientScope) -> String {
            "start \(unit.name) with " + unit.properties.map(\.description).joined(separator: " ")
        }
        return ["ask systemd at \(manager):", line(companionScope(members: [-1])), line(jobScope(members: []))]
    }

    private var placement: [UnitProperty] { options.slice.map { [UnitProperty("Slice", .string($0))] } ?? [] }

    /// What the scope itself is limited to, as systemd is told.
    var limitsOfScope: ResolvedLimits { limits.adding(pids: Self.holderTasks) }

    /// The limits as the unit shows them. They hold the job in its own cgroup, too, where they are
    /// read back; only a weight has its meaning here, among the scope's siblings.
    private var limitProperties: [UnitProperty] {
        LimitKind.all.flatMap { $0.busProperties(limitsOfScope.values) }.map(UnitProperty.init)
    }

    /// What to send where this manager does not know a property.
    static func retreat(_ property: UnitProperty, members: [CInt: ProcessID]) -> [UnitProperty]? {
        switch (property.name, property.value) {
        case ("PIDFDs", .descriptors(let pidfds)):
            // Children that are not reaped yet: their pids mean nobody else.
            [UnitProperty("PIDs", .pids(pidfds.compactMap { members[$0] }))]
        case ("OOMPolicy", .string("continue")):
            // Before 253 a scope has no such policy, and does nothing.
            []
        default: nil
        }
    }
}
