internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdBus

/// What a manager is asked for: the scope of a job and, as its companion, the scope of the guard; or the scope of all
/// jobs of a program and, as its companion, the scope of the program and the guard.
struct ScopePlan: Sendable {
    let limits: ResolvedLimits
    private let stem: String
    let options: UnitOptions
    private let title: String
    /// The program that the jobs belong to; `nil`: a launcher with one job.
    private let program: String?
    private let controllers: [Controller]
    /// How systemd stops the scope: what the processes get first, and how long after that they are killed.
    private let stopSignal: Signal
    private let grace: Duration

    /// - Parameter controllers: those that the scope gets; `nil`: those that the limits and the report need.
    init(_ spec: LaunchSpec, _ limits: ResolvedLimits, jobName: String, controllers: [Controller]? = nil) {
        stem = spec.unit.name ?? jobName
        self.limits = limits
        let needed = spec.job.limits.controllers
        self.controllers =
            controllers ?? Controller.allCases.filter { needed.contains($0) || $0 == .memory || $0 == .pids }
        options = spec.unit
        program = nil
        // A grace of zero means no time after the stop signal, and so it is not sent.
        stopSignal = spec.job.grace > .zero ? spec.job.stopSignal : .kill
        grace = max(spec.job.grace, Self.leastGrace)
        // Unicode scalars: one `Character` may be as long as the whole command line.
        let command = spec.job.arguments.map(\.description).joined(separator: " ").unicodeScalars.prefix(200)
        title = "cgrun " + Substring(command)
    }

    /// - Parameter program: the name of the program that the jobs belong to.
    init(_ options: UnitOptions, _ limits: ResolvedLimits, jobsOf program: String) {
        stem = options.name ?? JobName.make().cgroup
        self.limits = limits
        controllers = Controller.allCases
        self.options = options
        self.program = program
        (stopSignal, grace) = (.kill, Self.leastGrace)
        title = "jobs of \(program)"
    }

    /// The name of the scope for jobs, with `.scope`.
    var name: String { stem + ".scope" }
    /// The name of the companion. The manager stops the scope for jobs when the companion is gone. So the manager
    /// guards the guard.
    var companionName: String { stem + (takesProgram ? "-host.scope" : "-guard.scope") }
    /// Which manager makes the scopes.
    var domain: ServiceManager.Domain { options.managerDomain }
    /// Whether the caller chose the name of the scope, and may want to use it again.
    var isNamed: Bool { options.name != nil }

    /// Whether arguments and the first pages of a program may be too much for the job. While a program starts, the
    /// kernel spares a process that shares its parent's memory. It does not spare one that the holder starts, since that
    /// is no child of the holder's, and with it the kernel would kill the holder.
    var isTight: Bool { limits.values.memoryMax?.value?.bytes ?? .max < Self.holderMemory.bytes }

    /// How many tasks in the scope are no job's, and count against the limit of the scope: one, the holder.
    static let holderTasks = 1
    /// What the holder and the scope's own cgroups need at most. The kernel counts a cgroup's own memory, some kilobytes
    /// for each processor, in the cgroup above.
    private static let holderMemory = ByteCount(16 << 20)

    /// For systemd, a time of zero means none: it would wait for ever.
    private static let leastGrace = Duration.seconds(1)

    /// The scope for jobs.
    func jobScope(members: [CInt]) -> ServiceManager.TransientUnit {
        var properties =
            placement + [
                UnitProperty("Description", .string(options.description ?? title)),
                UnitProperty("PIDFDs", .descriptors(members)),
                UnitProperty("BindsTo", .strings([companionName])),
                UnitProperty("After", .strings([companionName])),
                UnitProperty("DelegateControllers", .strings(controllers.map(\.rawValue))),
                UnitProperty("KillSignal", .int32(stopSignal.rawValue)),
                UnitProperty("SendSIGKILL", .bool(true)),
                UnitProperty("TimeoutStopUSec", .uint64(UInt64(grace.nanoseconds / 1_000))),
                UnitProperty("CollectMode", .string("inactive-or-failed")),
                // cgrun and `memory.oom.group` decide what an OOM kill means for other processes, and not systemd.
                UnitProperty("OOMPolicy", .string("continue")),
            ]
        properties += limitProperties
        properties.removeAll { property in options.properties.contains { $0.name == property.name } }
        return ServiceManager.TransientUnit(name: name, properties: properties + options.properties)
    }

    /// Whether errors call limits by the library's names or by options.
    var wording: Wording { takesProgram ? .library : .options }

    /// Whether the companion holds the program that starts the jobs, and not only their guard.
    var takesProgram: Bool { program != nil }

    /// The companion. Where it holds a program, systemd stops it as any other scope, so that the program can end in its
    /// own way, and an OOM kill of one process in it does not stop the program.
    func companionScope(members: [CInt]) -> ServiceManager.TransientUnit {
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
        return ServiceManager.TransientUnit(name: companionName, properties: placement + own + common)
    }

    /// Has both scopes made, and waits until they are there.
    ///
    /// - Parameter members: the processes to be moved, by their pidfds.
    func start(
        by manager: borrowing ServiceManager, _ scope: ServiceManager.TransientUnit,
        beside companion: ServiceManager.TransientUnit, members: [CInt: ProcessID]
    ) throws(LaunchError) -> ServiceManager.Started {
        do {
            return try manager.start(scope, beside: companion) { Self.retreat($0, members: members) }
        } catch {
            throw error.operation == "connect"
                ? LaunchError(error, connectingTo: domain, wording) : LaunchError(error, starting: name)
        }
    }

    /// What the manager is asked for, for people: one line for each scope.
    func description(by manager: String) -> [String] {
        func line(_ unit: ServiceManager.TransientUnit) -> String {
            "start \(unit.name) with " + unit.properties.map(\.description).joined(separator: " ")
        }
        return ["ask systemd at \(manager):", line(companionScope(members: [-1])), line(jobScope(members: []))]
    }

    private var placement: [UnitProperty] { options.slice.map { [UnitProperty("Slice", .string($0))] } ?? [] }

    /// The limits of the scope itself, in which the holder needs room, too. A job must meet its own limit before that
    /// of the scope, where the kernel could choose the holder. All jobs of a program get no more memory together than
    /// was asked for: no job dies with their holder.
    var limitsOfScope: ResolvedLimits {
        limits.adding(pids: Self.holderTasks, memory: takesProgram ? ByteCount(0) : Self.holderMemory)
    }

    /// The limits as properties of the scope, where `systemctl` shows them. They are also set on the job's own cgroup,
    /// and read back there. But a weight has its meaning on the scope, among the scope's siblings.
    private var limitProperties: [UnitProperty] {
        LimitKind.all.flatMap { $0.busProperties(limitsOfScope.values) }.map(UnitProperty.init)
    }

    /// What to send in place of a property that this manager does not know; `nil`: it must know the property.
    static func retreat(_ property: UnitProperty, members: [CInt: ProcessID]) -> [UnitProperty]? {
        switch (property.name, property.value) {
        case ("PIDFDs", .descriptors(let pidfds)):
            // This process and its children that are not reaped yet: their pids mean no other processes.
            [UnitProperty("PIDs", .pids(pidfds.compactMap { members[$0] }))]
        case ("OOMPolicy", .string("continue")):
            // Before systemd 253 scopes have no OOM policy: an OOM kill stops none.
            []
        default: nil
        }
    }
}
