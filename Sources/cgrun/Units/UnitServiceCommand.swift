internal import ArgumentParser
internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdUnits

struct UnitServiceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "service",
        abstract: "A service from a command, with the limits of a run.",
        usage: "cgrun unit service <name> [options] -- command [argument …]",
        discussion: """
            Stopping it stops the whole tree, an OOM kill ends all of it, and systemd never gives up on restarting \
            it silently. Nothing in the command is expanded: it reaches the program byte for byte.

            --harden standard leaves the network and reading to the service; it writes to its working directory, /var \
            and a /tmp of its own. --harden strict also takes the network (unless --allow-network), home directories \
            and writing, and makes a user up unless --user is given.

            --mode wrapped has cgrun itself run the command, for its report and its word on why it died.
            """)

    enum Mode: String, ExpressibleByArgument, CaseIterable { case plain, wrapped }

    @Argument(help: "The unit's name, without .service.") var name: String
    @Argument(parsing: .postTerminator, help: "The command and its arguments, which are not looked at.")
    var command: [String] = []

    @OptionGroup(title: "Limits") var limits: LimitOptions
    @OptionGroup(title: "Life") var life: Life
    @OptionGroup(title: "The command's surroundings") var surroundings: Surroundings
    @OptionGroup(title: "Other units") var others: Others
    @OptionGroup(title: "Where it goes") var output: UnitOutputOptions

    struct Life: ParsableArguments {
        @Option(help: "no, on-failure or always.") var restart = Service.Restart.onFailure
        @Option(help: "How long to wait before that (default: 5s).") var restartDelay: String?
        @Option(help: "First signal at a stop (default: TERM).") var stopSignal: String?
        @Option(help: "How long the tree may take to end before it is killed (default: 30s).") var stopTimeout: String?
        @Option(help: "Who gets the stop signal: every process (control-group) or the main one (mixed).")
        var killMode: Service.KillMode?
        @Option(help: "What a reload sends to the main process, such as HUP (default: no reload).") var reloadSignal:
            String?
        @Option(help: "plain, or wrapped: run by cgrun.") var mode = Mode.plain
        @Option(help: "With --mode wrapped: where cgrun writes its report.") var report: String?
        @Option(help: ArgumentHelp("With --mode wrapped: the path of cgrun (default: this one).", valueName: "path"))
        var cgrun: String?
        @Option(help: "Make a template and a target that starts this many of it.") var instances: Int?
    }

    struct Surroundings: ParsableArguments {
        @Option(help: "Run as this user.") var user: String?
        @Option(help: "Run with this group.") var group: String?
        @Option(
            name: [.customShort("E"), .customLong("setenv")], help: ArgumentHelp("Set a variable.", valueName: "k=v"))
        var setenv: [String] = []
        @Option(
            parsing: .unconditionalSingleValue,
            help: "Read variables from this file; with - before it, where it exists.", completion: .file())
        var envFile: [String] = []
        @Option(name: [.customShort("C"), .long], help: "Start in this directory.", completion: .directory)
        var workingDirectory: String?
        @Option(help: "File mode mask, such as 027.") var umask: String?
        @Option(help: ArgumentHelp("journal, null, or a file to append to.", valueName: "journal|file|null")) var log =
            "journal"
        @Option(help: "off, standard or strict: how much of the system is out of reach.") var harden = Hardening.Profile
            .off
        @Option(help: "With --harden: a directory that stays writable.", completion: .directory) var readWrite:
            [String] = []
        @Flag(help: "With --harden strict: leave the network.") var allowNetwork = false
    }

    struct Others: ParsableArguments {
        @Option(help: "A line on what it is.") var description: String?
        @Option(help: "Start after this unit.") var after: [String] = []
        @Option(help: "Start this unit, too, and do without it if that fails.") var wants: [String] = []
        @Option(help: "Start this unit, too, and not at all without it.") var requires: [String] = []
        @Option(help: "Put it into this slice.") var slice: String?
        @Option(help: "What starts it when it is enabled (default: multi-user.target).") var wantedBy: [String] = []
    }

    /// Which option set which key, for messages.
    private static let options = [
        "Description": "--description", "User": "--user", "Group": "--group", "WorkingDirectory": "--working-directory",
        "EnvironmentFile": "--env-file", "Environment": "--setenv", "StandardOutput": "--log",
        "ReadWritePaths": "--read-write", "ExecStart": "command", "UMask": "--umask",
    ]

    func run() throws {
        let files = try UnitOptionValues.named(Self.options) { try self.files() }
        // Of a template and its target, the target is enabled, which comes last.
        try output.put(files, enabling: files.suffix(1).map(\.path))
    }

    private func files() throws -> [UnitFile] {
        var unitName = try UnitOptionValues.name(name, .service)
        let target = life.instances == nil ? nil : try unitName.of(.target)
        if life.instances != nil, !unitName.isTemplate { unitName = unitName.template }
        var service = Service(name: unitName, summary: others.description ?? name, command: try resolvedCommand())
        service.header = ["unit service \(name)", "Stopping it ends every process it started."]
        try setLife(&service)
        try setSurroundings(&service)
        try setOthers(&service)
        if life.mode == .wrapped {
            try wrap(&service)
        } else {
            service.limits = try limits.limits()
            guard life.report == nil, life.cgrun == nil else {
                throw UsageError("--\(life.report == nil ? "cgrun" : "report"): expected --mode wrapped with it")
            }
        }
        guard let target, let count = life.instances else { return [try service.file()] }
        service.dependencies.partOf = [target.description]
        service.wantedBy = [target.description]
        service.header[0] += " --instances \(count)"
        return [try service.file(), try instanceTarget(target, service.name, count)]
    }

    private func setLife(_ service: inout Service) throws {
        service.restart = life.restart
        let delay = try UnitOptionValues.duration("--restart-delay", life.restartDelay, zeroAllowed: true)
        service.restartDelay = delay ?? service.restartDelay
        service.stopSignal = try UnitOptionValues.signal("--stop-signal", life.stopSignal) ?? service.stopSignal
        service.stopTimeout = try UnitOptionValues.duration("--stop-timeout", life.stopTimeout) ?? service.stopTimeout
        service.killMode = life.killMode ?? .controlGroup
        service.reloadSignal = try UnitOptionValues.signal("--reload-signal", life.reloadSignal)
    }

    private func setSurroundings(_ service: inout Service) throws {
        if let user = surroundings.user, output.userInstall {
            throw UsageError("--user \(user): a user's own units run as that user; expected no --user-install")
        }
        (service.user, service.group) = (surroundings.user, surroundings.group)
        service.workingDirectory = surroundings.workingDirectory
        service.umask = try UnitOptionValues.mode("--umask", surroundings.umask)
        service.environmentFiles = surroundings.envFile
        service.environment = try RawArguments.values(short: "-E", long: "--setenv").map { assignment in
            guard let variable = EnvironmentVariable(assignment: assignment) else {
                throw UsageError("--setenv \(assignment): expected NAME=VALUE")
            }
            return variable
        }
        switch surroundings.log {
        case "journal": service.output = .journal
        case "null": service.output = .null
        case let file: service.output = .file(file)
        }
        guard surroundings.harden != .off || (surroundings.readWrite.isEmpty && !surroundings.allowNetwork) else {
            throw UsageError("--read-write and --allow-network: expected --harden standard or strict with them")
        }
        let own = surroundings.harden == .standard ? [surroundings.workingDirectory].compactMap { $0 } : []
        service.hardening = Hardening(
            surroundings.harden, writablePaths: own.filter { $0 != "/" && $0 != "~" } + surroundings.readWrite,
            allowsNetwork: surroundings.allowNetwork)
        service.hardening.isForUserManager = output.userInstall
    }

    private func setOthers(_ service: inout Service) throws {
        service.dependencies.after = try UnitOptionValues.references("--after", others.after)
        service.dependencies.wants = try UnitOptionValues.references("--wants", others.wants)
        service.dependencies.requires = try UnitOptionValues.references("--requires", others.requires)
        service.slice = try others.slice.map { try UnitOptionValues.name($0, .slice) }
        let units = try UnitOptionValues.references("--wanted-by", others.wantedBy)
        service.wantedBy = others.wantedBy.isEmpty ? [usualTarget] : units
    }

    /// What starts everything that starts with the machine, or with the user's own systemd.
    private var usualTarget: String { output.userInstall ? "default.target" : "multi-user.target" }

    // MARK: Command

    private func resolvedCommand() throws -> Command {
        let words = RawArguments.command(command)
        guard let program = words.first, !program.bytes.isEmpty else {
            throw UsageError("no command given; expected cgrun unit service <name> [options] -- command [argument…]")
        }
        return Command(path: try Self.resolve(program), arguments: Array(words.dropFirst()))
    }

    private static func resolve(_ program: ByteString) throws(UsageError) -> ByteString {
        let slash = UInt8(ascii: "/")
        if program.bytes.first == slash { return program }
        if program.bytes.contains(slash) {
            return ByteString(Array((ThisProcess.currentDirectory ?? "").utf8) + [slash] + program.bytes) ?? program
        }
        guard let found = ExecutableSearch.find(program.description, in: nil) else {
            throw UsageError("command \(program): not found in PATH; expected a program's name or an absolute path")
        }
        return ByteString(found.utf8) ?? program
    }

    /// The service runs cgrun, which makes the job's cgroup below the unit's and sets the limits there.
    private func wrap(_ service: inout Service) throws {
        _ = try limits.limits()
        guard surroundings.harden == .off || !output.userInstall else {
            throw UsageError(
                "--mode wrapped --user-install: expected --harden off, since the sandbox of a user's own service takes cgroups away"
            )
        }
        guard surroundings.harden != .strict || surroundings.user != nil else {
            throw UsageError(
                "--mode wrapped --harden strict: expected --user, since a made-up user cannot manage cgroups")
        }
        guard let path = life.cgrun ?? ThisProcess.executablePath, let cgrun = ByteString(path.utf8) else {
            throw UsageError("--mode wrapped: expected --cgrun PATH")
        }
        _ = try service.command.text()
        // The command gets half of the time; cgrun needs the rest to kill the tree and to report.
        let grace = max(1, service.stopTimeout.components.seconds / 2)
        var words =
            ["run"] + limits.arguments + ["--stop-signal", "\(service.stopSignal)", "--kill-after", "\(grace)s"]
        if service.killMode != .controlGroup { words += ["--kill-mode", service.killMode.rawValue] }
        if let report = life.report {
            guard report.hasPrefix("/") else {
                throw UsageError("--report \(report): expected an absolute path")
            }
            words += ["--report", report]
        }
        let arguments =
            (words + ["--"]).compactMap { ByteString($0.utf8) } + [service.command.path] + service.command.arguments
        service.command = Command(path: cgrun, arguments: arguments)
        service.header.append(
            "cgrun runs the command: it sets the limits, tells in the journal why it died, and writes the report.")
        // After a stop, cgrun exits as for a command that the stop signal has ended.
        service.successExitStatuses = [String(128 + service.stopSignal.rawValue)]
        // cgrun itself has failed, or the command cannot run: a restart would not help.
        if service.restart != .no { service.restartPreventExitStatuses = ["125", "126", "127"] }
        // systemd signals cgrun alone, which stops the job and ends the tree within the stop timeout.
        service.killMode = .mixed
        service.stopSignal = .terminate
        service.delegatesCgroups = true
        service.hardening.allowsCgroups = true
    }

    // MARK: Instances

    private func instanceTarget(_ name: UnitName, _ template: UnitName, _ count: Int) throws -> UnitFile {
        guard (1...1000).contains(count) else {
            throw UsageError("--instances \(count): expected a whole number from 1 to 1000")
        }
        var target = Target(name: name, summary: "\(count) instances of \(others.description ?? self.name)")
        target.header = ["unit service \(self.name) --instances \(count)"]
        target.dependencies.wants = (1...count).map { template.instance($0) }
        target.wantedBy = [usualTarget]
        return try target.file()
    }
}
