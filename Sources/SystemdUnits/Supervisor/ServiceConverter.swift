internal import SandboxValues

/// Turns one process of supervisor into a service, and tells what became of each key of its section.
struct ServiceConverter {
    /// How `After=` differs from `priority`.
    static let orderNote = "orders starts and stops; supervisor does not wait for one before it starts the next"

    let process: SupervisorProcess
    let reader: SupervisorReader
    /// The name of the service to make.
    let name: UnitName
    /// The units that start before the service: those of the next lower priority.
    var after: [String] = []
    /// The target of the process's group, which starts and stops the service; `nil` where the group has none.
    var target: String?
    /// The socket unit of a FastCGI program.
    var socketName: String?
    var hardening = Hardening.Profile.off
    /// Whether `findings` are made: for the first process of a section only, since the others would have the same.
    var isReporting = true
    /// What became of each key, as far as it is converted.
    private(set) var findings: [Finding] = []

    /// The service, with a header that says what it was made from and which keys could not be kept.
    ///
    /// - Throws: `SupervisorError` for a command, variable or log file that has no counterpart.
    mutating func service() throws -> Service {
        var service = Service(name: name, summary: "\(process.name) (was run by supervisor)", command: try command())
        setStart(&service)
        setRestart(&service)
        setStop(&service)
        try setSurroundings(&service)
        try setOutput(&service)
        reportRest()
        service.oomPolicy = .continue
        let lost = findings.filter { $0.grade != .exact && !$0.value.hasPrefix("(default)") }.map(\.key)
        service.header = ["[\(process.section)] of \(process.file)"]
        if !lost.isEmpty {
            service.header.append("Not quite, or not at all, as under supervisor: \(lost.joined(separator: ", ")).")
        }
        return service
    }

    /// Adds a finding. A key that is not in the file, so that its default counts, is mentioned only where systemd
    /// does not do the same.
    mutating func report(_ key: String, _ grade: Grade, _ result: String, _ note: String = "") {
        guard isReporting else { return }
        let value = reader.configuration.value(process.section, key)?.text
        guard value != nil || grade != .exact else { return }
        findings.append(Finding(process.section, key, value ?? "(default)", grade, result, note))
    }

    /// An error about this key of the process's section.
    func failure(_ key: String, _ message: String) -> SupervisorError {
        SupervisorError(file: process.file, section: process.section, key: key, message: message)
    }

    /// The text, which belongs to this key, for exec.
    private func bytes(_ text: String, _ key: String) throws -> ByteString {
        guard let bytes = ByteString(text.utf8) else { throw failure(key, "expected no NUL") }
        return bytes
    }

    // MARK: Command

    private mutating func command() throws -> Command {
        let words: [String]
        do { words = try ShellLexer.split(process.command) } catch {
            throw failure(
                "command",
                "\(process.command): \(error.message) (supervisor ends a value at a blank with ; or # after it)")
        }
        guard let program = words.first, !program.isEmpty else { throw failure("command", "expected a command") }
        var path = program
        if !program.contains("/") {
            let directories = process.environment.last { $0.name == "PATH" }?.value
                .split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            guard let found = reader.surroundings.findExecutable(program, directories) else {
                throw failure("command", "\(program): expected a program that is found in PATH, or an absolute path")
            }
            path = found
        } else if !program.hasPrefix("/") {
            path = (workingDirectory() ?? "/") + "/" + program
        }
        path = Command.normalized(path)
        let bytes = try words.map { try self.bytes($0, "command") }
        let command = Command(path: ByteString(path.utf8) ?? "", name: bytes[0], arguments: Array(bytes.dropFirst()))
        let isRelative = program.contains("/") && !program.hasPrefix("/")
        report(
            "command", isRelative ? .approximate : .exact, "ExecStart=\(path)",
            isRelative ? "a relative path was taken to start at the working directory" : "")
        return command
    }

    /// The program's `directory`, or else that of `[supervisord]`, from which a relative one starts.
    private func workingDirectory() -> String? {
        let base = reader.defaults.directory
        guard let directory = process.directory else { return base.map(Command.normalized) }
        return Command.normalized(directory.hasPrefix("/") ? directory : (base ?? "") + "/" + directory)
    }

    // MARK: Start and restart

    private mutating func setStart(_ service: inout Service) {
        if let target { service.dependencies.partOf = [target] }
        service.dependencies.after = after
        if after.isEmpty {
            report("priority", .exact, "")
        } else {
            report("priority", .approximate, "After=", Self.orderNote)
        }
        let starter = target ?? "multi-user.target"
        service.wantedBy = process.startsAutomatically ? [starter] : []
        report("autostart", .exact, process.startsAutomatically ? "WantedBy=\(starter)" : "no WantedBy=")
        service.settleTime = .seconds(process.startSeconds)
        if process.startSeconds > 0 {
            report(
                "startsecs", .approximate, "ExecStartPost= waits \(process.startSeconds) s",
                "the unit is starting for that long; a program that succeeds at once is not tried again")
            let starts = process.startRetries + 1
            // Each start takes the settling time, the second until the next start, and a second to spare.
            service.startLimit = Service.StartLimit(
                burst: starts, interval: .seconds(starts * (process.startSeconds + 2)))
            let onlyOnce = process.restarts == .never ? "; without autorestart there is no retry" : ""
            report(
                "startretries", .approximate, "StartLimitBurst=\(starts)",
                "the delay between tries does not grow, and a program that runs hardly longer than startsecs is given up, too"
                    + onlyOnce)
        } else {
            report("startsecs", .exact, "Type=exec")
            report("startretries", .exact, "no start counts as failed with startsecs=0")
        }
        for key in ["numprocs", "numprocs_start", "process_name"] { report(key, .exact, name.description) }
    }

    private mutating func setRestart(_ service: inout Service) {
        service.restartDelay = .seconds(1)
        let codes = process.exitCodes.filter { $0 != 0 }.map { String($0) }
        let isZeroExpected = process.exitCodes.contains(0)
        service.successExitStatuses = codes
        switch process.restarts {
        case .always: service.restart = .always
        case .never: service.restart = .no
        case .unexpected:
            service.restart = .onFailure
            // To systemd the end by one of these signals is a success, to supervisor it is unexpected.
            service.restartForceExitStatuses = ["SIGHUP", "SIGINT", "SIGTERM", "SIGPIPE"]
            if !isZeroExpected { service.restartForceExitStatuses.insert("0", at: 0) }
        }
        report("autorestart", .exact, "Restart=\(service.restart.rawValue)")
        let zero = isZeroExpected || process.restarts != .unexpected ? "" : " RestartForceExitStatus=0"
        report(
            "exitcodes", .exact,
            codes.isEmpty ? "0 is success" : "SuccessExitStatus=" + codes.joined(separator: " ") + zero)
    }

    private mutating func setStop(_ service: inout Service) {
        service.stopSignal = process.stopSignal
        service.stopTimeout = .seconds(process.stopWaitSeconds)
        report("stopsignal", .exact, "KillSignal=\(process.stopSignal)")
        report("stopwaitsecs", .exact, "TimeoutStopSec=\(process.stopWaitSeconds)s")
        service.killMode = process.stopsGroup ? .controlGroup : .mixed
        let note =
            process.killsGroup
            ? "also reaches processes that left the process group"
            : "nothing survives the stop, where supervisor signals the process alone and leaves its children"
        for key in ["stopasgroup", "killasgroup"] {
            report(key, .approximate, "KillMode=\(service.killMode.rawValue)", note)
        }
    }

    // MARK: Surroundings

    private mutating func setSurroundings(_ service: inout Service) throws {
        service.user = process.user ?? reader.defaults.user
        if service.user != nil {
            report("user", .approximate, "User=", "systemd sets HOME, USER, LOGNAME and SHELL, too")
        }
        service.workingDirectory = workingDirectory()
        report("directory", .exact, "WorkingDirectory=\(service.workingDirectory ?? "/")")
        service.umask = process.umask ?? reader.defaults.umask
        report("umask", .exact, "UMask=")
        service.openFiles = reader.defaults.openFiles
        let own = [
            ("SUPERVISOR_ENABLED", "1"), ("SUPERVISOR_PROCESS_NAME", process.name),
            ("SUPERVISOR_GROUP_NAME", process.group),
        ]
        .filter { pair in !process.environment.contains { $0.name == pair.0 } }
        service.environment = try (own + process.environment.map { ($0.name, $0.value) }).map { name, value in
            EnvironmentVariable(try bytes(name, "environment"), try bytes(value, "environment"))
        }
        report("environment", .exact, "Environment=")
        if let socketName {
            service.readsSocket = true
            service.sockets = [socketName]
            service.dependencies.requires = [socketName]
        }
        service.hardening = Hardening(
            hardening, writablePaths: [service.workingDirectory].compactMap { $0 == "/" ? nil : $0 },
            allowsNetwork: true)
    }

    // MARK: Keys without a counterpart

    /// Tells what became of the keys of the section that nothing above has mentioned.
    private mutating func reportRest() {
        guard isReporting else { return }
        let keys = reader.configuration.section(process.section)?.keys ?? []
        let told = Set(findings.map(\.key))
        for key in keys where !told.contains(key) {
            let value = reader.configuration.value(process.section, key)?.text ?? ""
            let isNothing = ["0", "false", "no", "off", "0b", "0kb", "0mb", "auto", ""].contains(value.lowercased())
            switch key {
            case "stdout_capture_maxbytes", "stderr_capture_maxbytes", "stdout_events_enabled", "stderr_events_enabled":
                report(key, isNothing ? .exact : .dropped, "", isNothing ? "" : "systemd has no event protocol")
            case "serverurl":
                report(key, .dropped, "", "there is no supervisord to call")
            case "stdout_logfile_maxbytes", "stdout_logfile_backups", "stderr_logfile_maxbytes",
                "stderr_logfile_backups":
                report(key, .dropped, "", "there is no log file; journald.conf bounds the journal")
            case "stderr_logfile", "stderr_syslog":
                report(key, .exact, "as redirect_stderr says")
            default:
                report(key, .dropped, "", "supervisor knows no such key")
            }
        }
    }
}
