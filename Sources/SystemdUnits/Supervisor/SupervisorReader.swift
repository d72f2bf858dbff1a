internal import SandboxValues

/// Reads configuration files, and says what processes supervisord would run by them.
package struct SupervisorReader {
    package var surroundings: SupervisorSurroundings
    /// All files that were read, in one.
    package private(set) var configuration = SupervisorConfiguration()
    /// What `[supervisord]` says about all processes.
    package private(set) var defaults = SupervisorDefaults()
    /// What became of `[include]`.
    package private(set) var notes: [Finding] = []
    /// What `%(name)s` stands for in every section.
    private var expansions = Expansions()

    package init(_ surroundings: SupervisorSurroundings) { self.surroundings = surroundings }

    /// Reads the files, which the first one includes, and the defaults that they set.
    ///
    /// - Parameter files: absolute paths; those after the first are read as if the first included them.
    package mutating func read(_ files: [String]) throws(SupervisorError) {
        expansions.environment = surroundings.environment
        expansions.values["host_node_name"] = .text(surroundings.hostName)
        for (index, file) in files.enumerated() {
            try readFile(file)
            let here = Self.directory(of: file)
            if index == 0 { expansions.values["here"] = .text(here) }
            try readIncludes(of: file, here: here)
            configuration.expandHere(here)
        }
        try readDefaults()
    }

    private mutating func readFile(_ file: String) throws(SupervisorError) {
        guard let text = surroundings.readFile(file) else {
            throw SupervisorError(file: file, message: "expected a file in UTF-8 that can be read")
        }
        try configuration.read(text, file: file)
    }

    /// Reads what `[include]` of this file names. As in supervisor, `[include]` in an included file has no effect.
    private mutating func readIncludes(of file: String, here: String) throws(SupervisorError) {
        guard let include = configuration.section("include"), include.file == file else { return }
        configuration.expandHere(here)
        let reader = SectionReader(configuration: configuration, section: "include", expansions: expansions)
        guard let patterns = try reader.text("files") else {
            throw reader.failure("files", "expected files to include")
        }
        for pattern in patterns.split(whereSeparator: \.isWhitespace) {
            let path = pattern.hasPrefix("/") ? String(pattern) : here + "/" + pattern
            let matches = surroundings.glob(path).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            if matches.isEmpty {
                notes.append(Finding("include", "files", path, .dropped, "", "no file matches"))
            }
            for match in matches {
                let before = configuration.value("include", "files")?.file
                try readFile(match)
                if configuration.value("include", "files")?.file != before {
                    let note = "supervisor reads no includes of included files, either"
                    notes.append(Finding("include", "files", match, .dropped, "", note))
                }
                configuration.expandHere(Self.directory(of: match))
            }
        }
        notes.append(Finding("include", "files", patterns, .exact, "read", ""))
    }

    /// Reads `[supervisord]`.
    private mutating func readDefaults() throws(SupervisorError) {
        let reader = SectionReader(configuration: configuration, section: "supervisord", expansions: expansions)
        let environment = try reader.text("environment") ?? ""
        do { defaults.environment = try ShellLexer.keyValuePairs(environment) } catch {
            throw reader.failure("environment", error.message)
        }
        for (name, value) in defaults.environment { expansions.values["ENV_" + name] = .text(value) }
        defaults.user = try reader.text("user")
        // supervisord sets its mask and its directory when it becomes a daemon, and only then.
        if try reader.flag("nodaemon") != true {
            defaults.umask = try reader.mode("umask")
            defaults.directory = try reader.text("directory")
        }
        let openFiles = try reader.integer("minfds") ?? 0
        defaults.openFiles = openFiles > SupervisorDefaults.usualOpenFiles ? openFiles : nil
    }

    /// The directory that the file with this absolute path is in.
    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return "/" }
        return String(path[..<slash])
    }

    // MARK: Groups and programs

    /// All groups, in the order in which supervisord starts them. A program that is in no `[group:x]` is a group by
    /// itself.
    package func groups() throws(SupervisorError) -> [SupervisorGroup] {
        var groups: [SupervisorGroup] = []
        var grouped: Set<String> = []
        for section in configuration.sections where section.name.hasPrefix("group:") {
            let reader = SectionReader(configuration: configuration, section: section.name, expansions: expansions)
            let name = try reader.name(String(section.name.dropFirst(6)), "name")
            guard let programs = try reader.text("programs"), !programs.isEmpty else {
                throw reader.failure("programs", "expected names of programs")
            }
            var processes: [SupervisorProcess] = []
            for program in programs.split(separator: ",", omittingEmptySubsequences: false) {
                let program = SupervisorConfiguration.stripped(String(program))
                let candidates = ["program:" + program, "fcgi-program:" + program].filter {
                    configuration.section($0) != nil
                }
                guard candidates.count == 1, let found = candidates.first else {
                    throw reader.failure(
                        "programs", "\(program): expected the name of one [program:…] or [fcgi-program:…]")
                }
                grouped.insert(found)
                processes += try self.processes(found, group: name)
            }
            groups.append(
                SupervisorGroup(
                    name: name, priority: try Self.priority(reader), isExplicit: true, processes: processes))
        }
        for prefix in ["program:", "fcgi-program:"] {
            for section in configuration.sections
            where section.name.hasPrefix(prefix) && !grouped.contains(section.name) {
                let reader = SectionReader(configuration: configuration, section: section.name, expansions: expansions)
                let name = try reader.name(String(section.name.dropFirst(prefix.count)), "name")
                groups.append(
                    SupervisorGroup(
                        name: name, priority: try Self.priority(reader), isExplicit: false,
                        processes: try processes(section.name, group: name)))
            }
        }
        for index in groups.indices {
            groups[index].processes.sort { ($0.priority, $0.name) < ($1.priority, $1.name) }
        }
        return groups.sorted { ($0.priority, $0.name) < ($1.priority, $1.name) }
    }

    private static func priority(_ reader: SectionReader) throws(SupervisorError) -> Int {
        try reader.integer("priority", in: Int(Int32.min)...Int(Int32.max)) ?? 999
    }

    /// The processes of a `[program:x]` or `[fcgi-program:x]`: as many as `numprocs` says.
    private func processes(_ section: String, group: String) throws(SupervisorError) -> [SupervisorProcess] {
        var reader = SectionReader(configuration: configuration, section: section, expansions: expansions)
        let program = try reader.name(String(section[section.index(after: section.firstIndex(of: ":")!)...]), "name")
        reader.expansions.values["program_name"] = .text(program)
        reader.expansions.values["group_name"] = .text(group)
        let template = try process(reader, program: program, group: group)
        // Far more than a machine runs, and as many as a service of cgrun has instances.
        let count = try reader.integer("numprocs", in: 0...1000) ?? 1
        let first = try reader.integer("numprocs_start") ?? 0
        let nameFormat = reader.raw("process_name") ?? "%(program_name)s"
        guard count <= 1 || nameFormat.contains("%(process_num)") else {
            throw reader.failure(
                "process_name", "\(nameFormat): expected %(process_num)… in it when numprocs is more than 1")
        }
        var result: [SupervisorProcess] = []
        for number in first..<(first + count) {
            // The same expansions for all numbers, as in supervisor: a process can refer to a variable that only the
            // one before it has set.
            reader.expansions.values["process_num"] = .number(number)
            reader.expansions.values["numprocs"] = .number(count)
            var process = template
            try finish(&process, &reader)
            process.name = try reader.name(
                try reader.expand(try reader.name(nameFormat, "process_name"), "process_name"), "process_name")
            result.append(process)
        }
        return result
    }

    /// A process with the values that all processes of a section share.
    private func process(_ reader: SectionReader, program: String, group: String) throws(SupervisorError)
        -> SupervisorProcess
    {
        let stopsGroup = try reader.flag("stopasgroup") ?? false
        let killsGroup = try reader.flag("killasgroup") ?? stopsGroup
        guard !stopsGroup || killsGroup else {
            throw reader.failure("killasgroup", "false: expected true where stopasgroup is true")
        }
        return SupervisorProcess(
            group: group, program: program, section: reader.section,
            file: configuration.section(reader.section)?.file ?? "", umask: try reader.mode("umask"),
            priority: try Self.priority(reader), startsAutomatically: try reader.flag("autostart") ?? true,
            restarts: try Self.restarts(reader), startSeconds: try reader.integer("startsecs") ?? 1,
            startRetries: try reader.integer("startretries") ?? 3, user: try reader.text("user"),
            stopSignal: try reader.signal("stopsignal") ?? .terminate,
            stopWaitSeconds: try reader.integer("stopwaitsecs") ?? 10, stopsGroup: stopsGroup, killsGroup: killsGroup,
            exitCodes: try Self.exitCodes(reader), redirectsErrors: try reader.flag("redirect_stderr") ?? false,
            socket: try Self.socket(reader))
    }

    /// Sets what may depend on the process's number and on its environment.
    private func finish(_ process: inout SupervisorProcess, _ reader: inout SectionReader) throws(SupervisorError) {
        let own: [(name: String, value: String)]
        let text = try reader.expand(reader.raw("environment") ?? "", "environment")
        do { own = try ShellLexer.keyValuePairs(text) } catch {
            throw reader.failure("environment", "\(text): \(error.message)")
        }
        process.environment = defaults.environment
        for pair in own {
            reader.expansions.values["ENV_" + pair.name] = .text(pair.value)
            process.environment.set(pair)
        }
        process.directory = try reader.text("directory")
        process.output = try log(reader, "stdout")
        process.errorOutput = try log(reader, "stderr")
        guard let command = try reader.text("command") else { throw reader.failure("command", "expected a command") }
        process.command = command
    }

    /// Where one stream, `stdout` or `stderr`, goes.
    private func log(_ reader: SectionReader, _ stream: String) throws(SupervisorError) -> SupervisorProcess.Log {
        let key = stream + "_logfile"
        var place = SupervisorProcess.LogPlace.automatic
        // Supervisor expands file names twice.
        if let once = try reader.text(key) {
            let text = try reader.expand(once, key)
            switch text.lowercased() {
            case "none", "off": place = .none
            case "auto": place = .automatic
            case "syslog": place = .syslog
            default: place = .file(text)
            }
        }
        return SupervisorProcess.Log(
            place: place, maximumBytes: try reader.size(key + "_maxbytes") ?? 50 << 20,
            backups: try reader.integer(key + "_backups") ?? 10,
            goesToSyslog: try reader.flag(stream + "_syslog") ?? false || place == .syslog)
    }

    /// `autorestart`.
    private static func restarts(_ reader: SectionReader) throws(SupervisorError) -> SupervisorProcess.AutoRestart {
        guard let text = try reader.text("autorestart")?.lowercased(), text != "unexpected" else { return .unexpected }
        guard let always = SectionReader.flag(text) else {
            throw reader.failure("autorestart", "\(text): expected true, false or unexpected")
        }
        return always ? .always : .never
    }

    /// `exitcodes`: those that supervisor expects.
    private static func exitCodes(_ reader: SectionReader) throws(SupervisorError) -> [Int] {
        try reader.value("exitcodes", "numbers from 0 to 255 with commas in between") { text in
            let parts = text.split(separator: ",", omittingEmptySubsequences: text.isEmpty)
            let codes = parts.compactMap { Int(SupervisorConfiguration.stripped(String($0))) }
            return codes.count == parts.count && codes.allSatisfy((0...255).contains) ? codes : nil
        } ?? [0]
    }

    /// `socket` and what belongs to it; `nil` for a program that is not one of FastCGI.
    private static func socket(_ reader: SectionReader) throws(SupervisorError) -> SupervisorSocket? {
        guard reader.section.hasPrefix("fcgi-program:") else { return nil }
        guard let text = try reader.text("socket") else { throw reader.failure("socket", "expected a socket") }
        var socket = SupervisorSocket(
            address: "", owner: try reader.text("socket_owner"), mode: try reader.mode("socket_mode"),
            backlog: try reader.integer("socket_backlog", in: 1...65_535))
        if text.hasPrefix("unix://") {
            socket.address = String(text.dropFirst(7))
            guard socket.address.hasPrefix("/") else {
                throw reader.failure("socket", "\(text): expected unix:///PATH")
            }
            socket.mode = socket.mode ?? 0o700
            return socket
        }
        let address = text.hasPrefix("tcp://") ? text.dropFirst(6).lowercased() : ""
        let parts = address.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, let port = UInt16(parts[1]), port > 0, socket.owner == nil,
            socket.mode == nil
        else {
            throw reader.failure("socket", "\(text): expected unix:///PATH, or tcp://HOST:PORT without owner and mode")
        }
        socket.address = parts[0] == "localhost" ? "127.0.0.1:\(port)" : "\(parts[0]):\(port)"
        return socket
    }
}
