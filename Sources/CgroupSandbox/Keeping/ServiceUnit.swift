internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemdBus

/// The unit in which systemd holds a service: its keeper, its guard and, in a cgroup below, its command.
///
/// All rules of a service are the keeper's, as they are without systemd. The manager starts the keeper, and starts it
/// again if everything in the unit is lost at once.
package struct ServiceUnit: ~Copyable {
    private let manager: ServiceManager
    private let service: String
    private let spec: LaunchSpec

    /// - Returns: `nil` for a service whose keeper is a child of whoever starts it.
    /// - Throws: when a manager was asked for that cannot be had.
    package static func wanted(by spec: LaunchSpec, of service: String) throws(LaunchError) -> ServiceUnit? {
        switch try spec.resolveManager(Hierarchies.current(.options)) {
        case .cgroupfs: return nil
        case .systemd(var manager, _):
            manager.finishCalls()
            return ServiceUnit(manager: manager, service: service, spec: spec)
        }
    }

    /// How the manager starts the keeper, and how it has the keeper end.
    package struct Commands {
        package var start: [String]
        package var stop: [String]

        package init(start: [String], stop: [String]) {
            self.start = start
            self.stop = stop
        }
    }

    private var name: String { ServicePlace.unit(of: service) }

    /// Has the manager make the unit and start the keeper.
    ///
    /// - Returns: `false` if there is a unit of this name.
    package func start(_ commands: Commands) throws(LaunchError) -> Bool {
        guard let program = ThisProcess.executablePath, isExecutable(program) else {
            throw LaunchError(
                .setup, "the program of this process is not there any more, so that systemd cannot start it",
                remedy: "call cgrun once more")
        }
        for text in [program] + commands.start + commands.stop where UnitProperty.line(text) != text {
            throw LaunchError(.setup, "\(text.asName): systemd takes no such path", remedy: "give another directory")
        }
        let unit = ServiceManager.TransientUnit(name: name, properties: properties(program, commands))
        do { _ = try manager.start(unit) } catch {
            if case .refused("org.freedesktop.systemd1.UnitExists") = error.kind { return false }
            throw LaunchError(error, startingService: name, spec.unit.managerDomain)
        }
        return true
    }

    private func properties(_ program: String, _ commands: Commands) -> [UnitProperty] {
        let options = spec.unit
        // What the keeper needs at a stop besides the time that the command has.
        let timeToStop = max(spec.job.grace, .zero) + .seconds(30)
        let own = [
            UnitProperty("Description", .string(options.description ?? "cgrun service \(service)")),
            // Not "exec": a keeper that is lost while systemd still waits for its program would end its successor.
            UnitProperty("Type", .string("simple")),
            UnitProperty("ExecStartEx", .command(path: program, words: commands.start)),
            UnitProperty("ExecStopEx", .command(path: program, words: commands.stop)),
            // The unit lasts as long as a process in it, so that a loss of the keeper is not its end.
            UnitProperty("ExitType", .string("cgroup")),
            UnitProperty("Delegate", .bool(true)),
            // Only a keeper that has done its work ends by itself.
            UnitProperty("Restart", .string("on-abnormal")),
            UnitProperty("RestartUSec", .uint64(100_000)),
            UnitProperty("StartLimitIntervalUSec", .uint64(0)),
            UnitProperty("TimeoutStopUSec", .uint64(UInt64(clamping: timeToStop.nanoseconds / 1_000))),
            // The keeper decides what an OOM kill means.
            UnitProperty("OOMPolicy", .string("continue")),
            UnitProperty("CollectMode", .string("inactive-or-failed")),
            UnitProperty("WorkingDirectory", .string("/")),
            UnitProperty("StandardInput", .string("null")),
            UnitProperty("StandardOutput", .string("null")),
            // What the keeper says there is about itself, and not about the service.
            UnitProperty("StandardError", .string("journal")),
            UnitProperty("UMask", .uint32(ThisProcess.fileModeMask)),
        ]
        let placement = options.slice.map { [UnitProperty("Slice", .string($0))] } ?? []
        // As a child of whoever starts the service would have them.
        let limits = ThisProcess.resourceLimits.flatMap { limit in
            [
                UnitProperty("Limit\(limit.name)", .uint64(limit.hard)),
                UnitProperty("Limit\(limit.name)Soft", .uint64(limit.soft)),
            ]
        }
        return placement + own + limits + weight + options.properties
    }

    /// A weight has its meaning on the unit, among the unit's siblings.
    private var weight: [UnitProperty] {
        guard let limits = try? spec.job.limits.resolved() else { return [] }
        return LimitKind.cpuWeight.busProperties(limits.values).map(UnitProperty.init)
    }

    /// Why there is no unit for the service.
    package var isTaken: LaunchError {
        LaunchError(
            .setup, "there is a unit \(name) already, which does not answer as this service",
            remedy:
                "see what it is with \(systemctl) status \(name): perhaps a service of that name from another state "
                + "directory")
    }

    private var systemctl: String { spec.unit.managerDomain == .user ? "systemctl --user" : "systemctl" }

    /// Stops a unit whose keeper does not answer, however often systemd starts it.
    ///
    /// - Returns: what to tell.
    package func stopUnanswered() -> LaunchError {
        try? manager.stop(name)
        return LaunchError(
            .setup, "systemd has started \(name), but no keeper answers there",
            remedy: "see the journal: journalctl \(spec.unit.managerDomain == .user ? "--user-unit" : "-u") \(name)")
    }

    /// Whether there is such a unit, which is neither being started nor being stopped.
    package var isActive: Bool { (try? manager.isActive(name)) == true }

    /// Whether there is such a unit.
    package func isLoaded() throws(LaunchError) -> Bool {
        do { return try manager.isLoaded(name) } catch {
            throw LaunchError(error, startingService: name, spec.unit.managerDomain)
        }
    }
}

/// Where the cgroups of a service are made.
enum ServicePlace {
    static func unit(of service: String) -> String { JobName.service(service) + ".service" }

    /// The unit of a service that this path of a cgroup is the unit's or below.
    private static func unitPath(of service: String, in path: String) -> String? {
        let parts = path.split(separator: "/")
        guard let index = parts.lastIndex(of: Substring(unit(of: service))) else { return nil }
        return "/" + parts[...index].joined(separator: "/")
    }

    /// The cgroup of the service's unit, if there is one: this process is in it, or an earlier keeper was.
    static func unitPath(
        of service: String, _ layout: Hierarchies, recorded: ParentCgroups.Paths?
    ) -> String? {
        if let own = layout.ownPath.flatMap({ unitPath(of: service, in: $0) }) { return layout.mount + own }
        return recorded.flatMap { unitPath(of: service, in: $0.unified) }
    }

    /// Makes the unit's cgroup ready for the service's command, and has this process look after it from inside.
    ///
    /// - Parameter isNew: whether what was asked for is to be checked: what runs goes on in any case.
    static func arrange(
        _ path: String, of service: String, _ spec: LaunchSpec, _ layout: Hierarchies, isNew: Bool
    ) throws(LaunchError) {
        do {
            let cgroup = try DelegatedCgroup(path, in: layout)
            do throws(CgroupError) { try cgroup.setAside([ThisProcess.id]) } catch {
                let membership = (try? Hierarchies.unifiedPath(of: ThisProcess.id)) ?? "/"
                guard unitPath(of: service, in: membership) == nil else { throw error }
                // Only a manager may move a user's process from one unit to another.
                try enter(path, of: service, layout)
            }
            try cgroup.passControllersOn()
            guard isNew else { return }
            try cgroup.checkWeight(spec.job.limits.resolved())
            try spec.unit.checkProperties(in: cgroup, .options)
        } catch let error as CgroupError { throw LaunchError(error, .options) } catch let error as LaunchError {
            throw error
        } catch { throw LaunchError(.setup, "\(error)") }
    }

    private static func enter(
        _ path: String, of service: String, _ layout: Hierarchies
    ) throws(LaunchError) {
        let manager = try ServiceManager.reach(domain(of: path), layout, .options)
        do { try manager.attach(ThisProcess.id, to: unit(of: service), "/" + JobName.leaf) } catch {
            throw LaunchError(.setup, "systemd did not take a keeper into \(unit(of: service)): \(error)")
        }
    }

    /// Whether systemd has the unit of a service that an earlier keeper has recorded: then a keeper comes, or is there.
    static func isUnitLoaded(of service: String, recorded: ParentCgroups.Paths) -> Bool {
        guard let path = unitPath(of: service, in: recorded.unified),
            let manager = try? ServiceManager(domain(of: path))
        else { return false }
        return (try? manager.isLoaded(unit(of: service))) == true
    }

    /// The manager whose unit has this cgroup.
    private static func domain(of path: String) -> ServiceManager.Domain {
        path.split(separator: "/").contains { $0.hasPrefix("user@") && $0.hasSuffix(".service") } ? .user : .system
    }
}

extension LaunchError {
    /// Why a manager did not make the unit of a service.
    init(_ error: BusError, startingService unit: String, _ domain: ServiceManager.Domain) {
        switch error.kind {
        case _ where error.operation == "connect": self.init(error, connectingTo: domain, .options)
        case .refused("org.freedesktop.DBus.Error.PropertyReadOnly"),
            .refused("org.freedesktop.DBus.Error.UnknownProperty"):
            self.init(
                .setup, "systemd did not make \(unit): \(error)",
                remedy: "services need systemd 250 or later, or --cgroup-manager cgroupfs in a unit with Delegate=yes")
        default: self.init(error, starting: unit)
        }
    }
}
