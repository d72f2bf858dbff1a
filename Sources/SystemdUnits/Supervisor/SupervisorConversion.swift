internal import SandboxValues

/// Units for a supervisor configuration, and what became of each of its keys.
public struct SupervisorConversion: Sendable {
    public struct Options: Sendable {
        /// Put before every unit's name.
        public var prefix = ""
        /// Only these programs and groups; empty for all.
        public var only: [String] = []
        public var hardening = Hardening.Profile.off

        public init() {}
    }

    public private(set) var units: [UnitFile] = []
    /// For /etc/logrotate.d; `nil` when no log needs rotating.
    public private(set) var logrotate: String?
    public private(set) var findings: [Finding] = []
    /// What to enable to start what supervisord would start.
    public private(set) var enabled: [String] = []

    private var options: Options
    private var reader: SupervisorReader
    private var logs = LogRotation()

    /// - Parameter files: absolute paths. Those after the first are read as if it included them.
    /// - Throws: `SupervisorError` for what supervisord would refuse, `UnitError` for what systemd would.
    public init(
        files: [String], surroundings: SupervisorSurroundings, options: Options = Options()
    ) throws {
        self.options = options
        reader = SupervisorReader(surroundings)
        try reader.read(files)
        let all = try reader.groups()
        let groups = all.filter { group in
            options.only.isEmpty || options.only.contains(group.name)
                || group.processes.contains { options.only.contains($0.program) }
        }
        for name in options.only
        where !all.contains(where: { $0.name == name || $0.processes.contains { $0.program == name } }) {
            throw SupervisorError(
                file: files[0], line: nil, section: nil, key: nil,
                message: "--only \(name): expected the name of a program or group")
        }
        findings = reader.notes
        try convert(groups)
        reportGlobalSections()
        let text = logs.text
        logrotate = text.isEmpty ? nil : text
    }

    private mutating func convert(_ groups: [SupervisorGroup]) throws {
        let names = try unitNames(groups)
        var earlier: [String] = []
        var priority: Int?
        var sameLevel: [String] = []
        for group in groups {
            if priority != group.priority {
                if !sameLevel.isEmpty { earlier = sameLevel }
                sameLevel = []
                priority = group.priority
            }
            let processes = group.processes.filter {
                options.only.isEmpty || options.only.contains(group.name) || options.only.contains($0.program)
            }
            sameLevel += try convert(group, processes, names, after: earlier)
        }
    }

    /// - Returns: the names of the group's services.
    private mutating func convert(
        _ group: SupervisorGroup, _ processes: [SupervisorProcess], _ names: [ProcessID: UnitName],
        after earlier: [String]
    ) throws -> [String] {
        let needsTarget = group.isExplicit || processes.count > 1
        let target = try UnitName(escaping: options.prefix + group.name, .target)
        let levels = Set(processes.map(\.priority)).sorted()
        var sockets: Set<String> = []
        var reported: Set<String> = []
        for process in processes {
            guard let name = names[ProcessID(process)] else { continue }
            var converter = ServiceConverter(process: process, reader: reader, name: name)
            converter.isReporting = reported.insert(process.section).inserted
            converter.hardening = options.hardening
            let before = levels.last { $0 < process.priority }
            converter.after =
                before.map { level in
                    processes.filter { $0.priority == level }.compactMap { names[ProcessID($0)]?.description }
                } ?? earlier
            converter.target = needsTarget ? target.description : nil
            if let socket = process.socket {
                let socketName = try UnitName(escaping: options.prefix + process.program, .socket)
                converter.socketName = socketName.description
                if sockets.insert(socketName.description).inserted {
                    units.append(try converter.socketFile(socket, socketName, service: name.description))
                    enabled.append(socketName.description)
                }
                if group.isExplicit, converter.isReporting {
                    findings.append(
                        Finding(
                            "group:" + group.name, "programs", process.program, .approximate, socketName.description,
                            "in a group of several programs supervisor starts it without its socket"))
                }
            }
            let service = try converter.service()
            findings += converter.findings
            logs.add(service, process)
            units.append(try service.file())
            if process.startsAutomatically { enabled.append(name.description) }
        }
        if needsTarget { try addTarget(target, group, processes, names) }
        return processes.compactMap { names[ProcessID($0)]?.description }
    }

    private mutating func addTarget(
        _ name: UnitName, _ group: SupervisorGroup, _ processes: [SupervisorProcess], _ names: [ProcessID: UnitName]
    ) throws {
        let section = group.isExplicit ? "group:" + group.name : processes.first?.section ?? ""
        var target = Target(name: name, summary: "supervisor group \(group.name)")
        target.header = [
            "[\(section)] of a supervisor configuration.",
            "Stopping or restarting it does the same to all its services; starting it starts those that are enabled.",
        ]
        if group.isExplicit {
            findings.append(
                Finding(
                    section, "programs", Set(processes.map(\.program)).sorted().joined(separator: ","), .exact,
                    name.description,
                    ""))
            if reader.configuration.section(section)?.values["priority"] != nil {
                findings.append(
                    Finding(
                        section, "priority", String(group.priority), .approximate, "After=", ServiceConverter.orderNote)
                )
            }
            reportUnknown(section, known: ["programs", "priority"])
        }
        units.append(try target.file())
        enabled.append(name.description)
    }

    // MARK: Names

    /// Group and name, which together name a process in supervisor.
    private struct ProcessID: Hashable {
        var group: String
        var name: String

        init(_ process: SupervisorProcess) { (group, name) = (process.group, process.name) }
    }

    /// `worker_00.service`; with the program's or the group's name before it where that alone would not be clear.
    private func unitNames(_ groups: [SupervisorGroup]) throws -> [ProcessID: UnitName] {
        var names: [ProcessID: UnitName] = [:]
        var owners: [UnitName: [SupervisorProcess]] = [:]
        for process in groups.flatMap(\.processes) {
            guard names[ProcessID(process)] == nil else {
                throw SupervisorError(
                    file: process.file, line: nil, section: process.section, key: "process_name",
                    message: "\(process.name): expected a name that no other process of group \(process.group) has")
            }
            let stem = process.name.hasPrefix(process.program) ? process.name : process.program + "-" + process.name
            let name = try UnitName(escaping: options.prefix + stem, .service)
            names[ProcessID(process)] = name
            owners[name, default: []].append(process)
        }
        for (_, processes) in owners where processes.count > 1 {
            for process in processes {
                names[ProcessID(process)] = try UnitName(
                    escaping: options.prefix + process.group + "-" + process.name, .service)
            }
        }
        for (id, name) in names where names.contains(where: { $0.value == name && $0.key != id }) {
            throw UnitError(key: "unit name", value: name.description, accepted: "a name of its own for each process")
        }
        for name in names.values where Self.reserved.contains(name.description) {
            throw UnitError(
                key: "unit name", value: name.description,
                accepted: "a name that is not one of systemd's own (a prefix helps)")
        }
        for group in groups where Self.reserved.contains(options.prefix + group.name + ".target") {
            throw UnitError(
                key: "unit name", value: options.prefix + group.name + ".target",
                accepted: "a name that is not one of systemd's own (a prefix helps)")
        }
        return names
    }

    /// Units that the boot or the shutdown goes by.
    private static let reserved: Set<String> = Set(
        [
            "basic", "bluetooth", "default", "emergency", "exit", "final", "getty", "graphical", "halt", "initrd",
            "local-fs",
            "machines", "multi-user", "network", "network-online", "network-pre", "nss-lookup", "nss-user-lookup",
            "paths",
            "poweroff", "printer", "reboot", "remote-fs", "rescue", "rpcbind", "runlevel3", "runlevel5", "shutdown",
            "sigpwr",
            "sleep", "slices", "smartcard", "sockets", "sound", "suspend", "swap", "sysinit", "system-update",
            "time-set",
            "time-sync", "timers", "umount",
        ].map { $0 + ".target" }
            + ["dbus", "emergency", "rescue", "systemd-journald", "systemd-logind", "systemd-udevd", "getty", "user"]
            .map { $0 + ".service" })

    // MARK: Sections that are no programs

    private mutating func reportUnknown(_ section: String, known: Set<String>) {
        for key in reader.configuration.section(section)?.keys ?? [] where !known.contains(key) {
            findings.append(
                Finding(
                    section, key, reader.configuration.value(section, key)?.text ?? "", .dropped, "",
                    "supervisor knows no such key"))
        }
    }

    private mutating func reportGlobalSections() {
        for section in reader.configuration.sections {
            let kind = section.name.split(separator: ":").first.map(String.init) ?? section.name
            switch kind {
            case "program", "fcgi-program", "group", "include": continue
            case "supervisord": reportSupervisord(section)
            default: findings.append(Finding(section.name, "", "", .dropped, "", Self.reason(kind)))
            }
        }
    }

    private static func reason(_ kind: String) -> String {
        switch kind {
        case "unix_http_server", "inet_http_server":
            "nothing listens; systemctl and journalctl take the place of the server"
        case "supervisorctl": "systemctl takes its place"
        case "rpcinterface": "there is no XML-RPC; systemd is asked over D-Bus"
        case "eventlistener": "systemd has no event protocol; OnFailure= or a D-Bus client may serve"
        default: "supervisor knows no such section"
        }
    }

    private mutating func reportSupervisord(_ section: SupervisorConfiguration.Section) {
        let isDaemon = !["yes", "true", "on", "1"].contains(section.values["nodaemon"]?.text.lowercased() ?? "")
        for key in section.keys {
            let value = section.values[key]?.text ?? ""
            let (grade, result, note): (Grade, String, String) =
                switch key {
                case "environment": (.exact, "Environment=", "")
                case "user":
                    (.approximate, "User=", "for programs without one; systemd sets HOME, USER, LOGNAME and SHELL, too")
                case "umask" where isDaemon: (.exact, "UMask=", "")
                case "directory" where isDaemon: (.exact, "WorkingDirectory=", "")
                case "umask", "directory": (.dropped, "", "takes no effect with nodaemon=true in supervisor, either")
                case "minfds" where reader.defaults.openFiles == nil: (.exact, "systemd's own LimitNOFILE=", "")
                case "minfds": (.approximate, "LimitNOFILE=", "the limit itself, where supervisor raises a lower one")
                case "minprocs": (.dropped, "", "systemd's own TasksMax= bounds processes")
                case "childlogdir": (.dropped, "", "AUTO logs go to the journal")
                case "logfile", "logfile_maxbytes", "logfile_backups", "loglevel", "pidfile", "identifier", "nodaemon",
                    "silent", "nocleanup", "strip_ansi":
                    (.dropped, "", "concerns supervisord itself")
                default: (.dropped, "", "supervisor knows no such key")
                }
            findings.append(Finding("supervisord", key, value, grade, result, note))
        }
    }
}
