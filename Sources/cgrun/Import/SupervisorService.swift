internal import SandboxValues
internal import SystemdUnits

/// Turns one process of supervisor into a table `[service.NAME]`, and tells what became of each key of its section.
struct SupervisorService {
    var table = ServiceFileText.Table(name: "")
    private(set) var findings: [Finding] = []

    let process: SupervisorProcess
    let reader: SupervisorReader
    /// How many processes share the socket, if there is one.
    private let sharing: Int

    init(_ process: SupervisorProcess, _ reader: SupervisorReader, sharing: Int) {
        self.process = process
        self.reader = reader
        self.sharing = sharing
    }

    /// - Throws: `SupervisorError` for a command or path that cannot be read.
    mutating func convert() throws(SupervisorError) {
        table.isOff = !process.startsAutomatically
        report(
            "autostart", table.isOff ? .approximate : .exact, "a comment", "take the # away to have it started by up")
        try setCommand()
        setSurroundings()
        setRestart()
        setStop()
        try setLog()
        reportRest()
    }

    func value(_ key: String) -> String? { reader.configuration.value(process.section, key)?.text }

    /// Adds a finding about a key that is in the file.
    mutating func report(_ key: String, _ grade: Grade, _ result: String = "", _ note: String = "") {
        guard let value = value(key) else { return }
        findings.append(Finding(process.section, key, value, grade, result, grade == .exact ? "" : note))
    }

    func failure(_ key: String, _ message: String) -> SupervisorError {
        SupervisorError(file: process.file, section: process.section, key: key, message: message)
    }

    // MARK: Command

    private mutating func setCommand() throws(SupervisorError) {
        var words: [String]
        do { words = try CommandWords.split(process.command) } catch {
            throw failure("command", "\(process.command): expected \(error.accepted)")
        }
        guard let first = words.first, !first.isEmpty else { throw failure("command", "expected a command") }
        report("command", .exact, "command")
        if let socket = process.socket { words = opening(socket, words) }
        if let umask = process.umask ?? reader.defaults.umask {
            words = ["sh", "-c", "umask \(digits(umask, 3, radix: 8)) && exec \"$@\"", "sh"] + words
            report("umask", .exact, "command")
            table.comments.append("The shell sets the umask, and the command takes its place.")
        }
        table["command"] = .texts(words)
        for key in ["numprocs", "numprocs_start", "process_name", "priority"] { report(key, .exact) }
    }

    /// The command, with the socket as its standard input. cgrun opens no sockets, but spawn-fcgi(1) does as supervisord
    /// would; and several processes that share one are multiwatch(1)'s.
    private mutating func opening(_ socket: SupervisorSocket, _ command: [String]) -> [String] {
        var words = ["spawn-fcgi", "-n"]
        if socket.address.hasPrefix("/") {
            words += ["-s", socket.address, "-M", digits(socket.mode ?? 0o700, 4, radix: 8)]
            let owner = socket.owner?.split(separator: ":", maxSplits: 1).map(String.init) ?? []
            for (option, name) in zip(["-U", "-G"], owner) { words += [option, name] }
        } else {
            let parts = socket.address.split(separator: ":").map(String.init)
            words += ["-a", parts[0], "-p", parts[1]]
        }
        if let backlog = socket.backlog { words += ["-b", "\(backlog)"] }
        // It opens the socket before it becomes another user, as supervisord does.
        if let user = process.user ?? reader.defaults.user { words += ["-u", user] }
        let needed =
            sharing > 1
            ? "spawn-fcgi and multiwatch, which have to be installed" : "spawn-fcgi, which has to be installed"
        report("socket", .approximate, "the command", "opened by \(needed)")
        for key in ["socket_owner", "socket_mode", "socket_backlog"] { report(key, .exact, "command") }
        // Neither looks into PATH, but env(1) does.
        let program = command[0].contains("/") ? command : ["/usr/bin/env"] + command
        return words + ["--"] + (sharing > 1 ? ["/usr/bin/env", "multiwatch", "-f", "\(sharing)", "--"] : []) + program
    }

    // MARK: Surroundings

    private mutating func setSurroundings() {
        let base = reader.defaults.directory
        if let directory = process.directory {
            table["dir"] = .text(directory.hasPrefix("/") ? directory : (base.map { $0 + "/" } ?? "") + directory)
        } else if let base {
            table["dir"] = .text(base)
        }
        report("directory", .exact, "dir")
        if process.socket == nil, let user = process.user ?? reader.defaults.user { table["uid"] = .text(user) }
        report("user", .exact, "uid")
        if !process.environment.isEmpty { table["env"] = .table(process.environment.map { ($0.name, $0.value) }) }
        report("environment", .exact, "env")
        reportExpansions()
    }

    /// What a variable of the environment has given is in the file now, and does not change with it any more.
    private mutating func reportExpansions() {
        let known = Set(process.environment.map { "%(ENV_\($0.name))" })
        for key in reader.configuration.section(process.section)?.keys ?? [] {
            guard let value = value(key), value.contains("%(ENV_") else { continue }
            let names = value.split(separator: "%(ENV_").dropFirst().map { "%(ENV_\($0.prefix { $0 != ")" }))" }
            if value.hasPrefix("%(ENV_") || names.contains(where: { !known.contains($0) }) {
                report(
                    key, .approximate, "its value of now",
                    "\(names.joined(separator: ", "))s was looked up for this file")
            }
        }
    }

    // MARK: Start and restart

    private mutating func setRestart() {
        switch process.restarts {
        case .always: table["restart"] = .text("always")
        case .never: table["restart"] = .text("no")
        // What cgrun does by itself.
        case .unexpected: break
        }
        report("autorestart", .exact, "restart")
        let others = process.exitCodes.filter { $0 != 0 }
        if process.restarts != .unexpected || others.isEmpty && process.exitCodes.contains(0) {
            report("exitcodes", .exact)
        } else {
            report("exitcodes", .dropped, "", "0 and nothing else is a success, after which it is not started again")
        }
        if let startSeconds = value("startsecs") {
            table["ready"] = .table([("delay", Self.duration(process.startSeconds))])
            report(
                "startsecs", startSeconds == "0" ? .exact : .approximate, "ready.delay",
                "a program that ends well before is not tried again")
        }
        setRetries()
    }

    private mutating func setRetries() {
        guard process.restarts != .never else {
            report(
                "startretries", process.startRetries == 0 ? .exact : .dropped, "",
                "with restart = \"no\" there is no second try")
            return
        }
        guard process.startSeconds > 0 else {
            table["give-up"] = .text("never")
            report("startretries", .exact, "give-up")
            return
        }
        guard value("startretries") != nil else { return }
        // Supervisor waits for a second more before each try; cgrun doubles, and ends at the same pause.
        let longest = max(1, process.startRetries)
        table["backoff"] = .text("1s..\(Self.duration(longest))")
        table["healthy-after"] = .text(Self.duration(process.startSeconds))
        // One failure as the last would leave no restart at all, which supervisor means for starts alone.
        let failures = max(2, process.startRetries + 1)
        var window = failures * (process.startSeconds + 1)
        // The pauses double up to the longest, or 30 times; all further ones are the same.
        let doublings = min(failures - 1, 30)
        for count in 0..<doublings { window += min(1 << count, longest) }
        window += (failures - 1 - doublings) * min(1 << 30, longest)
        guard window <= Self.longestSeconds else {
            table["give-up"] = .text("never")
            report(
                "startretries", .approximate, "give-up and backoff",
                "so many tries would take centuries, and it is never given up")
            return
        }
        table["give-up"] = .text("\(failures)/\(Self.duration(window))")
        report(
            "startretries", .approximate, "give-up and backoff",
            "a failure counts also when the program had run for longer than startsecs")
    }

    // MARK: Stop

    private mutating func setStop() {
        var stop: [(String, String)] = []
        if process.stopSignal != .terminate {
            stop.append(("signal", "\(process.stopSignal.description.dropFirst(3))"))
        }
        if process.stopWaitSeconds != 5 { stop.append(("after", Self.duration(process.stopWaitSeconds))) }
        if !process.stopsGroup { stop.append(("mode", "mixed")) }
        if !stop.isEmpty { table["stop"] = .table(stop) }
        for (key, result) in [("stopsignal", "stop.signal"), ("stopwaitsecs", "stop.after")] {
            report(key, .exact, result)
        }
        let reach = "the whole tree, not the process group alone"
        report(
            "stopasgroup", process.stopsGroup ? .exact : .approximate, "stop.mode", "what is left is killed: \(reach)")
        report("killasgroup", process.killsGroup ? .exact : .approximate, "stop.mode", "it is always so: \(reach)")
    }

    /// The longest time that a file can say.
    private static let longestSeconds = Int(Int64.max / 1_000_000_000)

    /// The largest unit that gives a whole number.
    private static func duration(_ seconds: Int) -> String {
        for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60)] where seconds > 0 && seconds % length == 0 {
            return "\(seconds / length)\(unit)"
        }
        return "\(seconds)s"
    }

    // MARK: Keys without a counterpart

    private mutating func reportRest() {
        let told = Set(findings.map(\.key))
        for key in reader.configuration.section(process.section)?.keys ?? [] where !told.contains(key) {
            let isNothing = ["0", "false", "no", "off", "0b", "0kb", "0mb", "auto", ""].contains(
                value(key)?.lowercased())
            switch key {
            case _ where key.hasSuffix("_capture_maxbytes") || key.hasSuffix("_events_enabled"):
                report(key, isNothing ? .exact : .dropped, "", "there are no events")
            case "stdout_syslog", "stderr_syslog": report(key, .exact)
            case "serverurl": report(key, isNothing ? .exact : .dropped, "", "there is no supervisord to call")
            case _ where key.hasPrefix("stdout_logfile_") || key.hasPrefix("stderr_logfile_"):
                report(
                    key, isNothing ? .exact : .dropped, "",
                    "there is one log, and it is that of the output, or none of these")
            default: report(key, .dropped, "", SupervisorImport.noSuchKey)
            }
        }
    }
}
