package import LinuxSystem

/// systemd, by its manager interface (org.freedesktop.systemd1.Manager).
public struct ServiceManager: ~Copyable {
    /// Whose service manager to ask.
    public enum Domain: String, Sendable {
        /// The machine's manager, which is PID 1.
        case system
        /// The caller's own manager, `systemd --user`.
        case user
    }

    private var bus: Bus

    private static let destination = "org.freedesktop.systemd1"
    private static let manager = Message.Target(
        destination: destination, path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager")
    private static let properties = Message.Target(
        destination: destination, path: "/org/freedesktop/systemd1", interface: "org.freedesktop.DBus.Properties")
    private static let daemon = Message.Target(
        destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus")

    /// Whether the machine was booted with systemd (sd_booted(3)).
    package static var isBooted: Bool { isDirectory("/run/systemd/system") }

    /// Connects to the manager's own socket where the caller may, else through the D-Bus daemon. Does not wait until
    /// the manager is ready.
    ///
    /// - Throws: the error of the first address that was tried.
    package init(_ domain: Domain) throws(BusError) { bus = try Self.connect(try Self.addresses(domain)) }

    private static func connect(_ addresses: [Bus.Address]) throws(BusError) -> Bus {
        var failure: BusError?
        for address in addresses {
            // The error of the first address says more than that of a fallback.
            do { return try Bus(to: address) } catch  where error.kind == .unreachable { failure = failure ?? error }
        }
        throw failure ?? BusError(.unreachable, "connect", "no address to try")
    }

    private static func addresses(_ domain: Domain) throws(BusError) -> [Bus.Address] {
        switch domain {
        case .system:
            let daemon = Bus.Address(socket: "/run/dbus/system_bus_socket", isDaemon: true)
            guard ThisProcess.effectiveUserID == 0 else { return [daemon] }
            return [Bus.Address(socket: "/run/systemd/private", isDaemon: false), daemon]
        case .user:
            let directory =
                ThisProcess.environmentVariable("XDG_RUNTIME_DIR") ?? "/run/user/\(ThisProcess.effectiveUserID)"
            guard isDirectory(directory) else {
                throw BusError(
                    .unreachable, "connect", path: directory, "the runtime directory of this user is not there")
            }
            return [
                Bus.Address(socket: directory + "/systemd/private", isDaemon: false),
                Bus.Address(socket: directory + "/bus", isDaemon: true),
            ]
        }
    }

    /// Has calls carried out to their end, also if a blocked signal asks this process to end meanwhile: for a caller that
    /// undoes later what it has begun, and must know what that is.
    package mutating func finishCalls() { bus.isInterruptible = false }

    /// The address that this is connected to.
    package var address: Bus.Address { bus.address }

    // MARK: Transient units

    /// A unit to be made.
    package struct TransientUnit: Sendable, Equatable {
        /// The unit's name, with `.scope` or `.service` at the end.
        package var name: String
        package var properties: [UnitProperty]

        package init(name: String, properties: [UnitProperty]) {
            self.name = name
            self.properties = properties
        }
    }

    /// The result of `start`.
    package struct Started: Sendable {
        /// systemd's version as it spells it, such as `257.9-1~deb13u1`; `nil` if it would not say.
        package var version: String?
        /// Properties that this version does not know, and that were left out or replaced.
        package var unknown: [String]
    }

    /// Makes a unit and starts it, and waits until the manager is done.
    ///
    /// - Parameters:
    ///   - auxiliary: a unit that this one depends on, which is made in the same transaction.
    ///   - retreat: says what to send in place of a property that this manager does not know; `nil` if the manager must
    ///     know the property.
    /// - Throws: `.refused` with the manager's error; `.jobFailed`. Nothing is left of the units then.
    package func start(
        _ unit: TransientUnit, beside auxiliary: TransientUnit? = nil,
        retreat: (UnitProperty) -> [UnitProperty]? = { _ in nil }
    ) throws(BusError) -> Started {
        let deadline = BootTime.now + Bus.patience
        if address.isDaemon { try subscribe(until: deadline) }
        var units = [unit] + (auxiliary.map { [$0] } ?? [])
        let call = try startCall(units)
        // Asked before the call is sent, so that both answers come after one wait.
        let question = try bus.send(
            bus.newCall(Self.properties, "Get", Self.manager.interface, "Version"), until: deadline)
        var cookie = try bus.send(call, until: deadline)
        let version = try? readVersion(question, until: deadline)
        var unknown: [String] = []
        while true {
            do {
                let job = try bus.answer(to: cookie, "StartTransientUnit", until: deadline).readText("o")
                try waitForJob(job, of: unit.name, until: deadline)
                return Started(version: version, unknown: unknown)
            } catch {
                guard let property = Self.unknownProperty(error, among: units), retreat(property) != nil else {
                    throw error
                }
                unknown.append(property.name)
                for index in units.indices {
                    units[index].properties = units[index].properties.flatMap {
                        $0.name == property.name ? retreat($0) ?? [] : [$0]
                    }
                }
                cookie = try bus.send(startCall(units), until: deadline)
            }
        }
    }

    private func startCall(_ units: [TransientUnit]) throws(BusError) -> Message {
        // "fail": a name that is taken is an error, whatever the unit of that name is doing.
        let call = try bus.newCall(Self.manager, "StartTransientUnit", units[0].name, "fail")
        try call.append(units[0].properties)
        try call.container("a", of: "(sa(sv))") { () throws(BusError) in
            for unit in units.dropFirst() {
                try call.container("r", of: "sa(sv)") { () throws(BusError) in
                    try call.append(unit.name)
                    try call.append(unit.properties)
                }
            }
        }
        return call
    }

    /// The property that systemd does not know. It names the property in an error that it uses for nothing else here.
    private static func unknownProperty(_ error: BusError, among units: [TransientUnit]) -> UnitProperty? {
        let names = ["PropertyReadOnly", "UnknownProperty"].map { "org.freedesktop.DBus.Error." + $0 }
        guard case .refused(let name) = error.kind, names.contains(name) else { return nil }
        let words = error.message.split { !$0.isLetter && !$0.isNumber }.map(String.init)
        return units.flatMap(\.properties).first { words.contains($0.name) }
    }

    private func waitForJob(_ job: String, of unit: String, until deadline: BootTime) throws(BusError) {
        var result: String?
        _ = try bus.receive("JobRemoved", until: deadline) { message in
            guard message.isSignal(Self.manager.interface, "JobRemoved"),
                (try? message.readNumber()) != nil, (try? message.readText("o")) == job
            else { return false }
            _ = try? message.readText()
            result = try? message.readText()
            return true
        }
        guard result == "done" else {
            throw BusError(.jobFailed, "start", path: unit, "the job's result is \(result ?? "not told")")
        }
    }

    /// Asks for signals: unless asked, a D-Bus daemon passes none on, and systemd sends none through it.
    private func subscribe(until deadline: BootTime) throws(BusError) {
        let rule =
            "type='signal',sender='\(Self.destination)',interface='\(Self.manager.interface)',member='JobRemoved'"
        _ = try bus.call(bus.newCall(Self.daemon, "AddMatch", rule), until: deadline)
        _ = try bus.call(bus.newCall(Self.manager, "Subscribe"), until: deadline)
    }

    // MARK: Questions

    private func readVersion(_ cookie: UInt64, until deadline: BootTime) throws(BusError) -> String {
        let answer = try bus.answer(to: cookie, "Get", until: deadline)
        try answer.enterVariant(of: "s")
        return try answer.readText()
    }

    /// Whether there is a unit of this name.
    package func isLoaded(_ unit: String) throws(BusError) -> Bool {
        try path(of: unit, until: .now + Bus.patience) != nil
    }

    /// Whether the unit is there and is neither being started nor being stopped.
    package func isActive(_ unit: String) throws(BusError) -> Bool {
        let deadline = BootTime.now + Bus.patience
        guard let path = try path(of: unit, until: deadline) else { return false }
        let target = Message.Target(
            destination: Self.destination, path: path, interface: Self.properties.interface)
        let question = try bus.newCall(target, "Get", "org.freedesktop.systemd1.Unit", "ActiveState")
        let answer = try bus.call(question, until: deadline)
        try answer.enterVariant(of: "s")
        return try answer.readText() == "active"
    }

    /// - Returns: `nil` if there is no such unit.
    private func path(of unit: String, until deadline: BootTime) throws(BusError) -> String? {
        do { return try bus.call(bus.newCall(Self.manager, "GetUnit", unit), until: deadline).readText("o") } catch {
            guard case .refused(let name) = error.kind, name.hasSuffix(".NoSuchUnit") else { throw error }
            return nil
        }
    }

    /// Begins to stop a unit.
    package func stop(_ unit: String) throws(BusError) {
        _ = try bus.call(bus.newCall(Self.manager, "StopUnit", unit, "replace"), until: .now + Bus.patience)
    }

    /// Moves a process into a cgroup inside that of a delegated unit.
    ///
    /// - Parameter subgroup: the path of the cgroup from the unit's on.
    package func attach(_ pid: ProcessID, to unit: String, _ subgroup: String) throws(BusError) {
        let call = try bus.newCall(Self.manager, "AttachProcessesToUnit", unit, subgroup)
        try call.append(UnitProperty.Value.pids([pid]))
        _ = try bus.call(call, until: .now + Bus.patience)
    }

    /// Waits until no unit of this name is loaded, so that the name can be used again.
    package func waitUntilGone(_ unit: String, until deadline: BootTime) throws(BusError) {
        while try path(of: unit, until: deadline) != nil {
            Poller.pause(.milliseconds(1))
            guard BootTime.now < deadline else {
                throw BusError(.timedOut, "GetUnit", path: unit, "the unit is still loaded")
            }
        }
    }
}
