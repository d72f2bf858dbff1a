internal import ArgumentParser
internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdUnits

struct UnitSliceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "slice", abstract: "A slice: limits that several services share.",
        usage: "cgrun unit slice <name> [options]",
        discussion: "Put services into it with `cgrun unit service --slice`. apps-web is a slice inside of apps.")

    @Argument(help: "The unit's name, without .slice.") var name: String
    @Option(help: "A line on what it is.") var description: String?
    @OptionGroup(title: "Limits") var limits: LimitOptions
    @OptionGroup(title: "Where it goes") var output: UnitOutputOptions

    func run() throws {
        let file = try UnitOptionValues.named(["Description": "--description"]) {
            var slice = Slice(
                name: try UnitOptionValues.name(name, .slice), summary: description ?? "Limits shared in \(name)",
                limits: try limits.limits())
            slice.header = ["unit slice \(name)"]
            return try slice.file()
        }
        // A slice starts with the first unit in it; there is nothing to enable.
        try output.put([file], enabling: [])
    }
}

struct UnitScopeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scope", abstract: "Defaults for all scopes whose names begin alike.",
        usage: "cgrun unit scope <prefix> [options]",
        discussion: """
            Scopes cannot come from disk, but a drop-in for a prefix applies to every scope made with it, and overrides \
            what its maker asked for.
            """)

    @Argument(help: "What the names begin with, up to a dash: cgrun for cgrun-….scope.") var prefix: String
    @Option(help: "How long a scope may take to stop before it is killed.") var stopTimeout: String?
    @OptionGroup(title: "Limits") var limits: LimitOptions
    @OptionGroup(title: "Where it goes") var output: UnitOutputOptions

    func run() throws {
        let file = try UnitOptionValues.named {
            var scope = ScopeDefaults(prefix: prefix, limits: try limits.limits())
            scope.header = ["unit scope \(prefix)"]
            scope.stopTimeout = try UnitOptionValues.duration("--stop-timeout", stopTimeout)
            return try scope.file()
        }
        try output.put([file], enabling: [])
    }
}

struct UnitSocketCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "socket", abstract: "A socket that systemd opens for a service.",
        usage: "cgrun unit socket <name> --listen <address> [options]")

    @Argument(help: "The unit's name, without .socket.") var name: String
    @Option(help: ArgumentHelp("/PATH, @NAME, PORT, IPV4:PORT or [IPV6]:PORT.", valueName: "address")) var listen:
        [String] = []
    @Option(help: ArgumentHelp("The same for datagrams.", valueName: "address")) var listenDatagram: [String] = []
    @Option(help: "The service that gets it (default: that of the same name).") var service: String?
    @Option(help: "Who owns the socket in the file system.") var user: String?
    @Option(help: "Its group.") var group: String?
    @Option(help: "Its mode, such as 0660.") var mode: String?
    @Option(help: "Connections that may wait.") var backlog: Int?
    @Option(help: "A line on what it is.") var description: String?
    @OptionGroup(title: "Where it goes") var output: UnitOutputOptions

    func run() throws {
        let options = [
            "ListenStream": "--listen", "ListenDatagram": "--listen-datagram", "SocketUser": "--user",
            "SocketGroup": "--group", "SocketMode": "--mode", "Backlog": "--backlog",
            "Description": "--description",
        ]
        let file = try UnitOptionValues.named(options) {
            guard !listen.isEmpty || !listenDatagram.isEmpty else {
                throw UsageError("--listen: expected at least one address")
            }
            var socket = Socket(
                name: try UnitOptionValues.name(name, .socket), summary: description ?? "Socket of \(name)",
                addresses: listen.map { .stream($0) } + listenDatagram.map { .datagram($0) })
            socket.header = ["unit socket \(name)"]
            socket.service = try UnitOptionValues.references("--service", [service].compactMap { $0 }).first
            (socket.user, socket.group, socket.backlog) = (user, group, backlog)
            socket.mode = try UnitOptionValues.mode("--mode", mode)
            return try socket.file()
        }
        try output.put([file], enabling: [file.path])
    }
}

struct UnitTimerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "timer", abstract: "When a service runs.",
        usage: "cgrun unit timer <name> --on-calendar <when>|--every <duration> [options]")

    @Argument(help: "The unit's name, without .timer.") var name: String
    @Option(help: "As in systemd.time(7): daily, 'Mon *-*-* 04:00:00'.") var onCalendar: [String] = []
    @Option(help: "So long after the boot.") var onBoot: String?
    @Option(help: "So long after it was last started.") var every: String?
    @Option(help: "Spread starts over this time.") var jitter: String?
    @Option(help: "How exact a start has to be (systemd: 1m).") var accuracy: String?
    @Flag(help: "Make up for what passed while the machine was off.") var persistent = false
    @Option(help: "The service that it starts (default: that of the same name).") var service: String?
    @Option(help: "A line on what it is.") var description: String?
    @OptionGroup(title: "Where it goes") var output: UnitOutputOptions

    func run() throws {
        let file = try UnitOptionValues.named(["OnCalendar": "--on-calendar", "Description": "--description"]) {
            var timer = Timer(name: try UnitOptionValues.name(name, .timer), summary: description ?? "Timer of \(name)")
            timer.header = ["unit timer \(name)"]
            timer.calendar = onCalendar
            timer.afterBoot = try UnitOptionValues.duration("--on-boot", onBoot)
            timer.every = try UnitOptionValues.duration("--every", every)
            timer.jitter = try UnitOptionValues.duration("--jitter", jitter)
            timer.accuracy = try UnitOptionValues.duration("--accuracy", accuracy)
            timer.isPersistent = persistent
            timer.unit = try UnitOptionValues.references("--service", [service].compactMap { $0 }).first
            return try timer.file()
        }
        try output.put([file], enabling: [file.path])
    }
}
