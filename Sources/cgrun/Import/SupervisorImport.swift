internal import SandboxValues
internal import SystemdUnits

/// The services that the programs of a supervisord's configuration become, and what became of each key.
struct SupervisorImport {
    private(set) var text: ServiceFileText
    private(set) var findings: [Finding] = []

    private var reader: SupervisorReader
    private var names = ImportedNames()
    private var programs: [Program] = []

    /// What one section says: a service, or several.
    private struct Program {
        let group: SupervisorGroup
        let processes: [SupervisorProcess]
        /// Where its tables are among the services.
        var tables: Range<Int>

        var section: String { processes[0].section }
        var priority: Int { processes[0].priority }
    }

    /// - Parameters:
    ///   - file: the configuration's absolute path.
    ///   - name: how the comment at the top calls it.
    /// - Throws: `SupervisorError` for what supervisord would refuse, `UsageError` where there is no program.
    init(file: String, name: String, surroundings: SupervisorSurroundings) throws {
        var surroundings = surroundings
        let readFile = surroundings.readFile
        // TOML cannot give a NUL to anybody.
        surroundings.readFile = { path in readFile(path).flatMap { $0.utf8.contains(0) ? nil : $0 } }
        reader = SupervisorReader(surroundings)
        try reader.read([file])
        text = ServiceFileText(comments: Self.introduction(name))
        findings = reader.notes
        for group in try reader.groups() { try add(group) }
        guard !programs.isEmpty else {
            throw UsageError("\(file.asName): there is no program in it; expected sections [program:NAME]")
        }
        for program in programs { addRequirements(of: program) }
        separateLogs()
        text.shareDefaults()
        reportOtherSections()
        // A key may be kept as such, and be changed afterwards, such as the name of a log that two services have: then
        // what is told is the change.
        let others = findings.filter { $0.grade != .exact }
        findings.removeAll { one in
            one.grade == .exact && others.contains { ($0.section, $0.key) == (one.section, one.key) }
        }
        text.closing = closing
    }

    private static func introduction(_ name: String) -> [String] {
        [
            "Written by cgrun service import from \(name.asName). `cgrun up` starts all of it, `cgrun down` stops it.",
            "", "For every service, and otherwise than under supervisord:",
            "- A stop ends the whole tree: no process that has left its parent stays behind.",
            "- Output and errors go to one log, which is in the service's directory unless `log` says otherwise.",
            "- A service that fails again and again is started again after 1s, 2s and so on up to 60s, and given up "
                + "after 10 failures within 10m, unless `backoff` and `give-up` say otherwise.",
            "- A service without `dir` starts in the directory of this file.",
            "- SUPERVISOR_ENABLED, SUPERVISOR_PROCESS_NAME and SUPERVISOR_GROUP_NAME are not set.",
        ]
    }

    // MARK: Services

    private mutating func add(_ group: SupervisorGroup) throws {
        var sections: [String] = []
        for process in group.processes where !sections.contains(process.section) { sections.append(process.section) }
        for section in sections {
            var processes = group.processes.filter { $0.section == section }
            // A socket that several processes share is in the hands of one service.
            let sharing = processes.count
            if processes[0].socket != nil { processes = [processes[0]] }
            var tables: [ServiceFileText.Table] = []
            for (index, process) in processes.enumerated() {
                var made = SupervisorService(process, reader, sharing: sharing)
                try made.convert()
                var table = made.table
                if index == 0 {
                    findings += made.findings
                    table.comments += made.findings.filter { $0.grade != .exact }.map(Self.comment)
                }
                tables.append(table)
            }
            let place = text.services.count
            if processes.count > 1, let table = instances(of: tables, processes) {
                text.services.append(table)
            } else {
                for (var table, process) in zip(tables, processes) {
                    let wanted = processes.count == 1 ? process.program : Self.name(process)
                    table.name = names.name(for: wanted)
                    note(table.name, wanted: wanted, of: process, in: &table)
                    text.services.append(table)
                }
            }
            programs.append(Program(group: group, processes: processes, tables: place..<text.services.count))
        }
    }

    /// A name of its own even where the processes of all programs are called alike.
    private static func name(_ process: SupervisorProcess) -> String {
        process.name.hasPrefix(process.program) ? process.name : process.program + "-" + process.name
    }

    /// All processes of a program as one table; `nil` where they differ in more than a number from 1 on.
    private mutating func instances(
        of tables: [ServiceFileText.Table], _ processes: [SupervisorProcess]
    ) -> ServiceFileText.Table? {
        guard var table = ServiceFileText.Table.instances(tables, name: ""), tables.count <= 1000 else { return nil }
        table.name = names.name(for: processes[0].program, instances: tables.count)
        let note = "\(processes[0].name) and so on are called \(table.name)@1 to \(table.name)@\(tables.count)"
        tell(Finding(processes[0].section, "numprocs", "\(tables.count)", .approximate, "instances", note), in: &table)
        return table
    }

    private mutating func note(
        _ name: String, wanted: String, of process: SupervisorProcess, in table: inout ServiceFileText.Table
    ) {
        guard name != process.name else { return }
        let reason =
            name == process.program
            ? "its name is that of the program"
            : name == wanted ? "the program's name makes it one that no other service has" : ImportedNames.rule
        tell(
            Finding(process.section, "process_name", process.name, .approximate, "service.\(name)", reason), in: &table)
    }

    /// Tells of something in the comments of a table, too.
    private mutating func tell(_ finding: Finding, in table: inout ServiceFileText.Table) {
        findings.append(finding)
        table.comments.append(Self.comment(finding))
    }

    /// A finding as a sentence.
    private static func comment(_ finding: Finding) -> String {
        let value = finding.value.isEmpty ? "" : "=\(Finding.short(finding.value))"
        let subject = finding.key.isEmpty ? "[\(finding.section)]" : finding.key + value
        return "\(subject) \(finding.grade == .dropped ? "is not kept" : "became \(finding.result)"): \(finding.note)."
    }

    /// What no service's own comments tell: of each section, what has one reason in one sentence.
    private var closing: [String] {
        let rest = findings.filter { one in one.grade != .exact && !programs.contains { $0.section == one.section } }
        var seen: [Finding] = []
        return rest.compactMap { first in
            guard !seen.contains(first) else { return nil }
            let same = rest.filter { ($0.section, $0.note, $0.result) == (first.section, first.note, first.result) }
            seen += same
            let values = same.map { $0.key.isEmpty ? "" : " \($0.key)=\(Finding.short($0.value))" }
            let outcome = first.grade == .dropped ? "not kept" : "became \(first.result)"
            return "[\(first.section)]\(values.joined(separator: ",")) – \(outcome): \(first.note)."
        }
    }

    // MARK: Order

    /// `priority`: a program that has one requires those with the next lower one that are started at all. Others are not
    /// bound to any.
    private mutating func addRequirements(of program: Program) {
        let earlier = earlier(than: program)
        guard !earlier.isEmpty else { return }
        let required = earlier.flatMap { $0.tables.map { text.services[$0].name } }
        let finding = Finding(
            program.group.isExplicit && !hasPriority(program.section) ? "group:" + program.group.name : program.section,
            "priority", "\(hasPriority(program.section) ? program.priority : program.group.priority)", .approximate,
            "requires", "it is not started where one of these fails for good, and is stopped before them")
        findings.append(finding)
        for index in program.tables {
            text.services[index]["requires"] = .table(required.map { ($0, "started") })
            text.services[index].comments.append(Self.comment(finding))
        }
    }

    private func hasPriority(_ section: String) -> Bool { reader.configuration.value(section, "priority") != nil }

    /// The programs that supervisord would start just before this one, because of a priority that is in the file.
    private func earlier(than program: Program) -> [Program] {
        let started = programs.filter { $0.processes[0].startsAutomatically }
        if program.group.isExplicit, hasPriority(program.section) {
            let peers = started.filter { $0.group.name == program.group.name && $0.priority < program.priority }
            if !peers.isEmpty { return Self.last(of: peers, by: \.priority) { hasPriority($0.section) } }
        }
        guard hasOwnPlace(program.group, program) else { return [] }
        let lower = started.filter { $0.group.priority < program.group.priority }
        return Self.last(of: lower, by: \.group.priority) { hasOwnPlace($0.group, $0) }
    }

    /// Whether the file has a priority for the group; a program that is in none is a group by itself.
    private func hasOwnPlace(_ group: SupervisorGroup, _ program: Program) -> Bool {
        hasPriority(group.isExplicit ? "group:" + group.name : program.section)
    }

    /// Those with the highest priority; and, as those of them that have it by default require nothing themselves, also
    /// those with the highest one that the file gives to somebody.
    private static func last(
        of programs: [Program], by priority: (Program) -> Int, where isGiven: (Program) -> Bool
    ) -> [Program] {
        let levels = [programs.map(priority).max(), programs.filter(isGiven).map(priority).max()]
        return programs.filter { levels.contains(priority($0)) }
    }

    // MARK: Logs

    /// Gives each service a log of its own: only one at a time can set a file aside.
    private mutating func separateLogs() {
        var taken: Set<String> = []
        for (program, index) in programs.flatMap({ program in program.tables.map { (program, $0) } }) {
            guard case .table(var entries) = text.services[index]["log"],
                let place = entries.firstIndex(where: { $0.key == "file" }), case .text(let path) = entries[place].value
            else { continue }
            let service = text.services[index]
            let isShared = service["instances"] != nil && !path.contains("%i")
            guard isShared || !taken.insert(path).inserted else { continue }
            let own = Self.inserting(isShared ? "%i" : service.name, into: path)
            taken.insert(own)
            entries[place].value = .text(own)
            text.services[index]["log"] = .table(entries)
            let finding = Finding(
                program.section, "stdout_logfile", path, .approximate, "log.file = \(own)",
                "each service has a log of its own")
            findings.append(finding)
            text.services[index].comments.append(Self.comment(finding))
        }
    }

    /// `worker-%i.log` for `worker.log`.
    private static func inserting(_ word: String, into path: String) -> String {
        let name = path[(path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex)...]
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return "\(path)-\(word)" }
        return "\(path[..<dot])-\(word)\(path[dot...])"
    }

    // MARK: Sections that are no programs

    private mutating func reportOtherSections() {
        for section in reader.configuration.sections {
            let kind = section.name.split(separator: ":").first.map(String.init) ?? section.name
            switch kind {
            case "include": continue
            case "program", "fcgi-program":
                if !programs.contains(where: { $0.section == section.name }) {
                    findings.append(Finding(section.name, "", "", .dropped, "", "it has no process: numprocs is 0"))
                }
            case "group":
                let value = section.values["programs"]?.text ?? ""
                let note = "there are no groups; up, down and the others take several names"
                findings.append(Finding(section.name, "programs", value, .dropped, "", note))
                for key in section.keys where !["programs", "priority"].contains(key) {
                    findings.append(
                        Finding(section.name, key, section.values[key]?.text ?? "", .dropped, "", Self.noSuchKey))
                }
                if section.keys.contains("priority"),
                    !findings.contains(where: { $0.section == section.name && $0.key == "priority" })
                {
                    let value = section.values["priority"]?.text ?? ""
                    findings.append(Finding(section.name, "priority", value, .exact, "", ""))
                }
            case "supervisord": reportSupervisord(section)
            default: findings.append(Finding(section.name, "", "", .dropped, "", Self.reason(kind)))
            }
        }
    }

    static let noSuchKey = "supervisor knows no such key"

    private static func reason(_ kind: String) -> String {
        switch kind {
        case "unix_http_server", "inet_http_server", "supervisorctl":
            "cgrun service, up, down and ps take its place, without a server"
        case "rpcinterface": "there is no XML-RPC; cgrun service status --json tells programs"
        case "eventlistener": "there are no events; cgrun service wait waits for an end"
        default: "supervisor knows no such section"
        }
    }

    private mutating func reportSupervisord(_ section: SupervisorConfiguration.Section) {
        let isDaemon = !["1", "true", "yes", "on"].contains(section.values["nodaemon"]?.text.lowercased())
        for key in section.keys {
            let value = section.values[key]?.text ?? ""
            let (grade, result, note): (Grade, String, String) =
                switch key {
                case "environment": (.exact, "env", "")
                case "user": (.exact, "uid", "")
                case "directory" where isDaemon: (.exact, "dir", "")
                case "umask" where isDaemon: (.exact, "command", "")
                case "umask", "directory": (.exact, "", "")
                case "minfds" where reader.defaults.openFiles == nil: (.exact, "", "")
                case "minfds":
                    (.dropped, "", "services have the limits of whoever calls up: ulimit -n \(value) before it")
                case "childlogdir": (.dropped, "", "logs are in the services' directories")
                case "logfile", "logfile_maxbytes", "logfile_backups", "loglevel", "pidfile", "identifier", "nodaemon",
                    "silent", "nocleanup", "strip_ansi", "minprocs":
                    (.dropped, "", "it is about supervisord itself")
                default: (.dropped, "", Self.noSuchKey)
                }
            findings.append(Finding("supervisord", key, value, grade, result, note))
        }
    }
}
