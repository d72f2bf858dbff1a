internal import SandboxValues

/// The units that do what a configuration of supervisor says, and what became of each of its keys.
///
/// A process becomes a service, a group or a program with several processes becomes a target, and a FastCGI program's
/// socket becomes a socket unit.
public struct SupervisorConversion: Sendable {
    /// What to convert, and how.
    public struct Options: Sendable {
        /// What the name of every unit begins with, such as `app-`. Nothing by default.
        public var prefix = ""
        /// The names of the programs and groups to convert, as in `[program:NAME]` and `[group:NAME]`. Empty, as by
        /// default, for all of them. A name that the configuration does not have is refused.
        public var only: [String] = []
        /// How much of the system the services may touch; the directory that a program works in stays writable, and
        /// the network stays. `off` by default, as under supervisor.
        public var hardening = Hardening.Profile.off

        /// Everything, under its own name and without hardening.
        public init() {}
    }

    /// The units, in the order in which supervisord would start their processes; a group's target follows its
    /// services.
    public private(set) var units: [UnitFile] = []
    /// A file for `/etc/logrotate.d` that rotates the log files as supervisord did; `nil` where none needs rotating.
    public private(set) var logrotate: String?
    /// What became of each key, section by section.
    public private(set) var findings: [Finding] = []
    /// The full names of the units to give to `systemctl enable`, so that the same starts with the machine as with
    /// supervisord.
    public private(set) var enabled: [String] = []

    private var options: Options
    private var reader: SupervisorReader
    private var logs: LogRotation
    /// The service's name for each process.
    private var names: [SupervisorProcess.ID: UnitName] = [:]

    /// Reads the files by way of `surroundings` and converts what is in them.
    ///
    /// - Parameters:
    ///   - files: absolute paths, at least one. Those after the first are read as if the first included them.
    ///   - surroundings: how to read files and to look up programs and variables.
    ///   - options: what to convert, and how.
    /// - Throws: `SupervisorError` for what supervisord would refuse and for files and programs that are not found,
    ///   `UnitError` for values that systemd would refuse and for names of units that two processes or systemd itself
    ///   have.
    public init(
        files: [String], surroundings: SupervisorSurroundings, options: Options = Options()
    ) throws {
        self.options = options
        logs = LogRotation(supervisor: "supervisord", source: files.first ?? "")
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
                file: files[0], message: "--only \(name): expected the name of a program or group")
        }
        findings = reader.notes
        try convert(groups)
        reportGlobalSections()
        logrotate = logs.text
    }

    /// Converts the groups. The services of each group start after those of the groups with the next lower priority.
    private mutating func convert(_ groups: [SupervisorGroup]) throws {
        try setNames(groups)
        var wanted = groups
        for (index, group) in groups.enumerated() where !options.only.isEmpty && !options.only.contains(group.name) {
            wanted[index].processes.removeAll { !options.only.contains($0.program) }
        }
        for group in wanted {
            let lower = wanted.filter { $0.priority < group.priority && !$0.processes.isEmpty }
            let next = lower.filter { $0.priority == lower.map(\.priority).max() }
            try convert(group, after: next.flatMap(\.processes).compactMap { names[$0.id]?.description })
        }
    }

    /// Converts the processes of one group, and makes a target for a group that needs one.
    ///
    /// - Parameter earlier: the services of the groups that start before this one.
    private mutating func convert(_ group: SupervisorGroup, after earlier: [String]) throws {
        let processes = group.processes
        let needsTarget = group.isExplicit || processes.count > 1
        let target = try UnitName(escaping: options.prefix + group.name, .target)
        var sockets: Set<String> = []
        var reported: Set<String> = []
        for process in processes {
            guard let name = names[process.id] else { continue }
            let before = processes.map(\.priority).filter { $0 < process.priority }.max()
            let after = before.map { level in
                processes.filter { $0.priority == level }.compactMap { names[$0.id]?.description }
            }
            var converter = ServiceConverter(
                process: process, reader: reader, name: name, after: after ?? earlier,
                target: needsTarget ? target.description : nil, hardening: options.hardening,
                isReporting: reported.insert(process.section).inserted)
            if let socket = process.socket {
                let socketName = try UnitName(escaping: options.prefix + process.program, .socket)
                converter.socketName = socketName.description
                if sockets.insert(socketName.description).inserted {
                    units.append(try converter.socketFile(socket, socketName, service: name.description))
                    enabled.append(socketName.description)
                }
                if group.isExplicit, converter.isReporting {
                    let section = "group:" + group.name
                    let note = "in a group of several programs supervisor starts it without its socket"
                    findings.append(
                        Finding(section, "programs", process.program, .approximate, socketName.description, note))
                }
            }
            let service = try converter.service()
            findings += converter.findings
            logs.add(service, process)
            units.append(try service.file())
            if process.startsAutomatically { enabled.append(name.description) }
        }
        if needsTarget { try addTarget(target, group) }
    }

    /// Adds the target of a group, and tells what became of the group's keys.
    private mutating func addTarget(_ name: UnitName, _ group: SupervisorGroup) throws {
        let section = group.isExplicit ? "group:" + group.name : group.processes.first?.section ?? ""
        var target = Target(name: name, summary: "supervisor group \(group.name)")
        target.header = [
            "[\(section)] of a supervisor configuration.",
            "Stopping or restarting it does the same to all its services; starting it starts those that are enabled.",
        ]
        if group.isExplicit {
            let programs = Set(group.processes.map(\.program)).sorted().joined(separator: ",")
            findings.append(Finding(section, "programs", programs, .exact, name.description, ""))
            if reader.configuration.section(section)?.values["priority"] != nil {
                let (priority, note) = (String(group.priority), ServiceConverter.orderNote)
                findings.append(Finding(section, "priority", priority, .approximate, "After=", note))
            }
            let keys = reader.configuration.section(section)?.keys ?? []
            for key in keys where !["programs", "priority"].contains(key) {
                let value = reader.configuration.value(section, key)?.text ?? ""
                findings.append(Finding(section, key, value, .dropped, "", "supervisor knows no such key"))
            }
        }
        units.append(try target.file())
        enabled.append(name.description)
    }

    // MARK: Names

    /// Gives each process's service the process's own name, such as `worker_00.service`. The program's name is put
    /// before it unless it begins with that; where two processes would still have the same, the group's name is put
    /// before it.
    ///
    /// - Throws: for names that are still the same, that systemd has units of, or that no unit can have.
    private mutating func setNames(_ groups: [SupervisorGroup]) throws {
        for process in groups.flatMap(\.processes) {
            guard names[process.id] == nil else {
                throw SupervisorError(
                    file: process.file, section: process.section, key: "process_name",
                    message: "\(process.name): expected a name that no other process of group \(process.group) has")
            }
            let stem = process.name.hasPrefix(process.program) ? process.name : process.program + "-" + process.name
            names[process.id] = try UnitName(escaping: options.prefix + stem, .service)
        }
        for (id, _) in Dictionary(grouping: names, by: \.value).values.filter({ $0.count > 1 }).joined() {
            names[id] = try UnitName(escaping: options.prefix + id.group + "-" + id.name, .service)
        }
        for (name, same) in Dictionary(grouping: names, by: \.value) where same.count > 1 {
            throw UnitError(key: "unit name", value: name.description, accepted: "a name of its own for each process")
        }
        let targets = groups.map { options.prefix + $0.name + ".target" }
        for name in names.values.map(\.description) + targets { try UnitName.refuseReserved(name) }
    }

    // MARK: Sections that are no programs

    /// Tells what became of the sections that are no programs and no groups.
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

    /// Why a section of this kind has no counterpart.
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
        let isDaemon = SectionReader.flag(section.values["nodaemon"]?.text ?? "") != true
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
