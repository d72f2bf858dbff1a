internal import CgroupSandbox
internal import LinuxSystem
internal import SandboxValues
internal import Services
internal import SystemdUnits

/// Turns one service of a `cgrun.toml` into a service of systemd, and tells what became of each key.
struct ServiceUnitConverter {
    static let constantPause = "the pause does not grow, which would need systemd 254 (RestartSteps=)"

    let service: ServiceFile.Service
    /// The file's absolute path.
    let path: String
    /// The units of all services.
    let names: [ServiceName: UnitName]
    /// The target of the instances.
    let target: UnitName?
    let hardening: Hardening.Profile
    /// Whether another service waits for this one to end.
    let isAwaited: Bool
    /// Whether another service waits for this one to be ready.
    let isRequiredReady: Bool
    /// By their names in the file, the services whose start systemd takes for done later than cgrun does.
    let waits: [String: StartWait]
    private(set) var findings: [Finding] = []
    /// The variables that env(1) sets.
    private(set) var throughEnv: Set<String> = []
    /// The names of the variables in the service's files.
    private(set) var inFiles: Set<String> = []

    var spec: ServiceSpec { service.spec }
    var job: JobSpec { spec.launch.job }
    var section: String { "service." + service.group }

    mutating func unit(_ findExecutable: (String, [String]?) -> String?) throws -> Service {
        let name = try names[service.name] ?? UnitName(escaping: service.name.description, .service)
        inFiles = Set(try service.environmentFiles.flatMap(Self.names))
        var unit = Service(
            name: name, summary: service.name.description,
            command: try command(job.arguments, "command", findExecutable))
        setDependencies(&unit)
        try setStart(&unit)
        setRestart(&unit)
        setStop(&unit)
        try setReload(&unit, findExecutable)
        try setSurroundings(&unit)
        unit.limits = job.limits
        for statement in service.statements where saysSomething(statement) { try report(statement, unit) }
        let lost = findings.filter { $0.grade != .exact }.map(\.key)
        unit.header = ["[\(section)] of \(path)"]
        if !lost.isEmpty {
            unit.header.append("Not quite, or not at all, as under cgrun: \(lost.joined(separator: ", ")).")
        }
        return unit
    }

    /// Whether it is not the header of a table.
    private func saysSomething(_ statement: Statement) -> Bool { statement.value != .table }

    // MARK: Command

    private func command(
        _ words: [ByteString], _ key: String, _ findExecutable: (String, [String]?) -> String?
    ) throws(UsageError) -> Command {
        let program = words[0].description
        var full = program
        if !program.contains("/") {
            let directories = variable("PATH")?.split(separator: ":").map(String.init)
            guard let found = findExecutable(program, directories) else {
                throw failure(key, "\(program.asName): expected a program that is found in PATH, or its path")
            }
            full = found
        } else if !program.hasPrefix("/") {
            full = (job.workingDirectory?.description ?? "") + "/" + program
        }
        full = Command.normalized(full)
        return Command(path: ByteString(full.utf8) ?? "", name: words[0], arguments: Array(words.dropFirst()))
    }

    /// A variable that the file sets, or one of its files of variables.
    private func variable(_ name: String) -> String? {
        inFiles.contains(name) || service.statements.contains { $0.path == ["env", name] }
            ? value(of: name)?.description : nil
    }

    private func value(of name: String) -> ByteString? {
        let prefix = Array((name + "=").utf8)
        return job.environment.last { $0.bytes.starts(with: prefix) }
            .flatMap { ByteString($0.bytes.dropFirst(prefix.count)) }
    }

    // MARK: Start

    private func setDependencies(_ unit: inout Service) {
        let required = service.order.requirements.compactMap { names[$0.name]?.description }
        (unit.dependencies.requires, unit.dependencies.after) = (required, required)
        if let target { unit.dependencies.partOf = [target.description] }
        unit.wantedBy = [target?.description ?? "multi-user.target"]
    }

    private func setStart(_ unit: inout Service) throws {
        guard !isAwaited else {
            // The end is what others wait for.
            (unit.start, unit.startTimeout) = (.completed, job.timeout)
            return
        }
        unit.runtimeLimit = job.timeout
        unit.startTimeout = spec.readyTimeout
        switch spec.readiness {
        case .delay(let delay):
            // Nobody needs to know of the half second that cgrun waits for by default.
            guard isRequiredReady || service.statements.contains(where: { $0.path == ["ready", "delay"] }) else {
                unit.startTimeout = nil
                return
            }
            let seconds = delay.components.seconds + (delay.components.attoseconds > 0 ? 1 : 0)
            unit.settleTime = .seconds(seconds)
            unit.startTimeout = seconds > 60 ? .seconds(seconds + 30) : nil
        case .notify: unit.start = .notified
        case .exec(let words): unit.probe = Service.Probe(words)
        case .tcp(let address, let port):
            unit.probe = Service.Probe(["bash", "-c", ": < \"/dev/tcp/$0/$1\""] + Self.words([address, "\(port)"]))
        case .http(let request):
            let host = request.address.contains(":") ? "[\(request.address)]" : request.address
            unit.probe = Service.Probe(
                Self.words([
                    "curl", "-fsSg", "--noproxy", "*", "--max-time", "5", "-H", "Host: \(request.host)",
                    "http://\(host):\(request.port)\(request.path)",
                ]))
        case .log(let text):
            guard spec.log.path == nil else {
                unit.startTimeout = nil
                guard !isRequiredReady else {
                    throw failure(
                        "ready.log",
                        "others wait for it, and systemd cannot wait for a line in a file; expected no log file "
                            + "(the journal can be looked through), or another kind of ready")
                }
                return
            }
            let look = "journalctl -q -o cat _SYSTEMD_INVOCATION_ID=\"$INVOCATION_ID\" | grep -qF -e \"$0\""
            unit.probe = Service.Probe(Self.words(["sh", "-c", look, text]))
        }
    }

    private static func words(_ words: [String]) -> [ByteString] { words.compactMap { ByteString($0.utf8) } }

    // MARK: Restart and stop

    private func setRestart(_ unit: inout Service) {
        let rules = spec.restart
        switch rules.policy {
        case .no: unit.restart = .no
        case .onFailure: unit.restart = .onFailure
        case .always: unit.restart = .always
        }
        unit.restartDelay = rules.firstPause
        if rules.policy == .onFailure, unit.start != .completed {
            // To systemd the end by one of these signals is a success, to cgrun a failure.
            unit.restartForceExitStatuses = ["SIGHUP", "SIGINT", "SIGTERM", "SIGPIPE"]
        }
        if let count = rules.giveUpAfter, rules.policy != .no {
            unit.startLimit = Service.StartLimit(burst: count, interval: rules.giveUpWithin)
        }
        // systemd refuses it for units whose end is waited for.
        unit.waitsForAll = job.waitsForAll && unit.start != .completed
        unit.oomPolicy = job.failsOnOOM ? .stop : .continue
    }

    private func setStop(_ unit: inout Service) {
        unit.killMode = job.killMode == .mixed ? .mixed : .controlGroup
        unit.stopSignal = job.stopSignal
        if job.grace > .zero { unit.stopTimeout = job.grace } else { unit.stopSignal = .kill }
    }

    private func setReload(_ unit: inout Service, _ findExecutable: (String, [String]?) -> String?) throws {
        guard service.statements.contains(where: { $0.path[0] == "reload" && saysSomething($0) }) else { return }
        switch spec.reload {
        case .signal(let signal): unit.reloadSignal = signal
        case .command(let words): unit.reloadCommand = try command(words, "reload.command", findExecutable)
        }
    }

    // MARK: Surroundings

    private mutating func setSurroundings(_ unit: inout Service) throws {
        unit.workingDirectory = job.workingDirectory.map { Command.normalized($0.description) }
        unit.syslogIdentifier = service.name.description
        unit.watchdog = spec.watchdog
        unit.summary = spec.launch.unit.description ?? unit.summary
        unit.slice = try spec.launch.unit.slice.map { try UnitName($0, .slice) }
        if let file = spec.log.path { unit.output = .file(Command.normalized(file)) }
        (unit.user, unit.group) = (account("uid"), account("gid"))
        if case .log = spec.readiness, unit.probe != nil, !isRoot(unit) {
            // Whoever looks for the line has to be able to read the journal.
            unit.supplementaryGroups = ["systemd-journal"]
        }
        unit.environmentFiles = service.environmentFiles.map(Command.normalized)
        var overriding: [ByteString] = []
        for statement in service.statements where statement.path.count == 2 && statement.path[0] == "env" {
            let name = statement.path[1]
            guard let value = value(of: name) else { continue }
            let variable = EnvironmentVariable(ByteString(name.utf8) ?? "", value)
            // EnvironmentFile= goes before Environment=, which takes only names like A_1, and env(1) before both.
            if inFiles.contains(name) || !variable.isPlain {
                guard !unit.command.path.bytes.contains(UInt8(ascii: "=")) else {
                    throw failure(
                        "env.\(name)",
                        "it takes env(1), to which \(unit.command.path.description.asName) is a variable; expected a "
                            + "command without = in its path")
                }
                overriding.append(variable.assignment)
                throughEnv.insert(name)
            } else {
                unit.environment.append(variable)
            }
        }
        if !overriding.isEmpty {
            unit.command = Command(
                path: "/usr/bin/env", arguments: ["--"] + overriding + [unit.command.path] + unit.command.arguments)
        }
        unit.hardening = Hardening(
            hardening, writablePaths: [unit.workingDirectory].compactMap { $0 == "/" ? nil : $0 }, allowsNetwork: true)
    }

    /// Whether the service may read the journal anyway.
    private func isRoot(_ unit: Service) -> Bool {
        // With strict hardening, systemd makes a user up for a service without one.
        job.credentials.map { $0.uid == 0 } ?? (hardening != .strict)
    }

    private static func names(in file: String) throws -> [String] {
        try EnvironmentFile.assignments(try readTextFile(file)).map { String($0.prefix { $0 != "=" }) }
    }

    /// A user or group as the file names it.
    private func account(_ key: String) -> String? {
        guard let credentials = job.credentials,
            let statement = service.statements.last(where: { $0.path == [key] })
        else { return nil }
        // `%i` in the text stands for an instance's number: there, the number of the user that cgrun has found is taken.
        if case .string(let text) = statement.value, !text.contains("%") { return text }
        return "\(key == "uid" ? credentials.uid : credentials.gid)"
    }

    mutating func add(_ finding: Finding) { findings.append(finding) }
}
