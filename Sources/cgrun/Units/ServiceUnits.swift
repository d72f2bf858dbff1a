internal import LinuxSystem
internal import SandboxValues
internal import Services
internal import SystemdUnits

/// The units that do at boot what a `cgrun.toml` says, and what became of each of its keys.
///
/// A service becomes a unit; one with instances, a unit for each and a target. The units are not made from templates,
/// since `%i` may stand where systemd expands nothing, as in limits.
struct ServiceUnits {
    struct Options {
        /// What the name of every unit begins with.
        var prefix = ""
        /// Services to convert, along with what they require; all if none is named.
        var only: [String] = []
        var hardening = Hardening.Profile.off
    }

    private(set) var units: [UnitFile] = []
    /// A file for `/etc/logrotate.d`; `nil` where no service has a log file of its own.
    private(set) var logrotate: String?
    private(set) var findings: [Finding] = []
    /// The full names of the units to give to `systemctl enable`.
    private(set) var enabled: [String] = []

    /// - Parameters:
    ///   - path: the file's absolute path.
    ///   - findExecutable: as `SupervisorSurroundings.findExecutable`.
    /// - Throws: `UsageError` for what would be weaker under systemd, `UnitError` for what systemd would refuse.
    init(
        _ file: ServiceFile, path: String, options: Options,
        findExecutable: (_ name: String, _ directories: [String]?) -> String?
    ) throws {
        let chosen = try file.selected(options.only, path: path)
        let services = file.services.filter { chosen.contains($0.name) }
        var names: [ServiceName: UnitName] = [:]
        func mistake(_ service: ServiceFile.Service, _ text: String) -> UsageError {
            UsageError("\(path.asName):\(service.line): service.\(service.group): \(text)")
        }
        for service in services {
            let name: UnitName
            do throws(UnitError) {
                name = try Self.unitName(options.prefix + service.name.description)
                try UnitName.refuseReserved(name.description)
            } catch { throw mistake(service, error.description) }
            guard !names.values.contains(name) else {
                throw mistake(service, "another service has the unit \(name), too; expected another name")
            }
            names[service.name] = name
        }
        let waits = Self.waits(file)
        var logs = LogRotation(supervisor: "cgrun", source: path)
        var done: Set<String> = []
        for service in services {
            let isFirst = done.insert(service.group).inserted
            let hasInstances = service.name.description != service.group
            var target: UnitName?
            if hasInstances {
                do throws(UnitError) {
                    let name = try UnitName(escaping: options.prefix + service.group, .target)
                    try UnitName.refuseReserved(name.description)
                    target = name
                } catch { throw mistake(service, error.description) }
            }
            var converter = ServiceUnitConverter(
                service: service, path: path, names: names, target: target, hardening: options.hardening,
                isAwaited: !file.plan.awaitingCompletion(of: service.name).isEmpty,
                isRequiredReady: Self.isRequiredReady(service, file), waits: waits)
            let unit: Service
            do { unit = try converter.unit(findExecutable) } catch let error as UnitError {
                throw converter.failure(error)
            }
            units.append(try converter.file(of: unit))
            enabled.append(unit.name.description)
            if case .file(let file) = unit.output {
                let log = service.spec.log
                logs.add(file, maximumBytes: Int(clamping: log.longest), backups: log.kept)
            }
            if isFirst { findings += converter.findings }
            if let target, isFirst {
                var group = Target(name: target, summary: "All of \(service.group)")
                group.header = [
                    "[service.\(service.group)] of \(path)",
                    "Stopping or restarting it does the same to all its services; starting it starts those that are enabled.",
                ]
                units.append(try group.file())
                enabled.append(target.description)
            }
        }
        logrotate = logs.text
        reportDefaults(services)
    }

    private static func isRequiredReady(_ service: ServiceFile.Service, _ file: ServiceFile) -> Bool {
        file.services.contains { other in
            other.order.requirements.contains { $0.name == service.name && $0.condition == .ready }
        }
    }

    private static func waits(_ file: ServiceFile) -> [String: StartWait] {
        var waits: [String: StartWait] = [:]
        for service in file.services {
            if !file.plan.awaitingCompletion(of: service.name).isEmpty {
                waits[service.group] = .untilEnd
            } else if case .log = service.spec.readiness, service.spec.log.path != nil {
                continue
            } else if service.statements.contains(where: { $0.path[0] == "ready" }) || isRequiredReady(service, file) {
                waits[service.group] = .untilReady
            }
        }
        return waits
    }

    /// The unit's name; where systemd would take it for something else, with escapes.
    private static func unitName(_ text: String) throws(UnitError) -> UnitName {
        if let name = try? UnitName(text, .service), !name.isTemplate, name.description == text + ".service" {
            return name
        }
        return try UnitName(escaping: text, .service)
    }

    /// Tells what is different where the file says nothing, once for all services.
    private mutating func reportDefaults(_ services: [ServiceFile.Service]) {
        func lack(_ key: String, where isConcerned: (ServiceFile.Service) -> Bool = { _ in true }) -> Bool {
            services.contains { service in
                isConcerned(service) && !service.statements.contains { $0.path[0] == key }
            }
        }
        func tell(_ key: String, _ result: String, _ note: String) {
            findings.append(Finding("defaults", key, "(default)", .approximate, result, note))
        }
        if lack("uid") { tell("uid", "no User=", "root runs it, and not whoever calls cgrun up") }
        tell("env", "Environment=", "there is systemd's environment, and not that of whoever calls cgrun up")
        if lack("log") { tell("log", "StandardOutput=journal", "journalctl -u shows it") }
        if lack("reload") { tell("reload", "no ExecReload=", "cgrun service reload sends SIGHUP") }
        if lack("backoff", where: { $0.spec.restart.policy != .no }) {
            tell("backoff", "RestartSec=1s", ServiceUnitConverter.constantPause)
        }
    }
}

/// What systemd waits for before it starts whatever is ordered after a service.
enum StartWait {
    case untilReady, untilEnd
}
