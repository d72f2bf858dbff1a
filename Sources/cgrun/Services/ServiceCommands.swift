internal import ArgumentParser
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import Services

struct ServiceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "service",
        abstract: "Keep commands running under names: start, stop, status, logs.",
        usage: "cgrun service start|stop|restart|reload|status|pid|logs|wait|adopt|remove|import [NAME …]",
        discussion: """
            A service is a job with a name, in a cgroup of that name. A keeper starts its command again when it fails, \
            writes its log, and is replaced when it is lost; the service goes on meanwhile.

            Example: cgrun service start web --mem 512M --ready tcp=8080 -- ./server --port 8080
            """,
        subcommands: [
            ServiceStart.self, ServiceStop.self, ServiceRestart.self, ServiceReload.self, ServiceStatusCommand.self,
            ServicePID.self, ServiceLogs.self, ServiceWait.self, ServiceAdopt.self, ServiceRemove.self,
            ServiceImportCommand.self,
        ])
}

/// For help, completions, and the words for a mistyped option: `ServiceActions` does what is asked for.
struct ServiceStart: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start",
        abstract: "Start a service, and return once it is ready.",
        usage: "cgrun service start NAME [options] [--] [command [argument …]]",
        discussion: """
            Without a command, the service is started as it was the last time. The command gets the environment and \
            the working directory of whoever gives it. A service that runs already is no error. If it fails before it \
            is ready, the cause and the end of its log are shown.
            """)

    @Argument(help: "The service's name.") var name: String
    @OptionGroup(title: "Restarting and readiness") var service: ServiceOptions
    @OptionGroup(title: "Limits") var limits: LimitOptions
    @OptionGroup(title: "Time and ending") var ending: EndingOptions
    @OptionGroup(title: "The command's surroundings") var surroundings: SurroundingOptions
    @OptionGroup(title: "Cgroups") var cgroups: CgroupOptions
    @Argument(help: "The command and its arguments, which are not looked at.", completion: .shellCommand("compgen -c"))
    var command: [String] = []
}

struct ServiceOptions: ParsableArguments {
    @Option(.restart, .list(RestartRules.Policy.allCases.map(\.rawValue))) var restart: String?
    @Option(.backoff) var backoff: String?
    @Option(.healthyAfter) var healthyAfter: String?
    @Option(.giveUp) var giveUp: String?
    @Option(.ready) var ready: String?
    @Option(.readyTimeout) var readyTimeout: String?
    @Option(.watchdog) var watchdog: String?
    @Option(.log, .file()) var log: String?
    @Option(.logMax) var logMax: String?
    @Option(.logKeep) var logKeep: String?
    @Option(.reloadSignal) var reloadSignal: String?
    @Option(.reloadCommand) var reloadCommand: String?
    @Option(.pidFile, .file()) var pidFile: String?
}

extension Option where Value == String? {
    fileprivate init(_ setting: ServiceSetting, _ completion: CompletionKind? = nil) {
        var help = ArgumentHelp(stringLiteral: setting.help)
        help.valueName = setting.valueName
        self.init(name: .customLong(setting.rawValue), help: help, completion: completion)
    }
}

private let nameHelp: ArgumentHelp = "Services; all of yours if none is named."

struct ServiceStop: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop",
        abstract: "Stop services, and return once nothing is left of them.",
        usage: "cgrun service stop [NAME …]",
        discussion: """
            All processes get the stop signal, and those that are left after the grace are killed (--kill-after); they \
            are named. Exits with 1 if something is left.
            """)

    @Argument(help: nameHelp) var names: [String] = []

    func run() throws { try ServiceActions().stop(names) }
}

struct ServiceRestart: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restart",
        abstract: "Stop services and start them anew, and return once they are ready.",
        usage: "cgrun service restart [NAME …]",
        discussion: "A service that does not run is started. Old and new processes never run beside each other.")

    @Argument(help: nameHelp) var names: [String] = []

    func run() throws { try ServiceActions(isLong: true).restart(names) }
}

struct ServiceReload: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Have services read their configuration anew.",
        usage: "cgrun service reload [NAME …]",
        discussion: """
            Sends the main processes the signal of --reload-signal, or runs the command of --reload-command and waits \
            for it; exits with 1 if that fails.
            """)

    @Argument(help: nameHelp) var names: [String] = []

    func run() throws { try ServiceActions().reload(names) }
}

struct ServiceStatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Tell how services stand.",
        usage: "cgrun service status [--json] [NAME …]",
        discussion: "Exits with 0 if all run, with 3 if one does not, and with 4 if one is unknown.")

    @Flag(name: .customLong("json"), help: "For programs.") var isJSON = false
    @Argument(help: nameHelp) var names: [String] = []

    func run() throws { try ServiceActions().status(names, isJSON: isJSON) }
}

struct ServicePID: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pid",
        abstract: "Print the pid of a service's main process.",
        usage: "cgrun service pid NAME",
        discussion: "Exits with 3 if it does not run, and with 4 if there is no such service.")

    @Argument(help: "The service.") var name: String

    func run() throws { try ServiceActions().pid(name) }
}

struct ServiceLogs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs",
        abstract: "Print what services have written.",
        usage: "cgrun service logs [-f] [-n N] [--since WHEN] [NAME …]")

    @Flag(name: [.customShort("f"), .customLong("follow")], help: "Go on with what is added, until Ctrl-C.")
    var follows = false
    @Option(
        name: [.customShort("n"), .customLong("lines")],
        help: "Only the last N lines (default: 20 with several services or -f, else all).")
    var lines: String?
    @Option(
        help: ArgumentHelp(
            "Only what was written since then: so long ago (10m), or since a time (2026-11-27T13:43:27Z).",
            valueName: "when"))
    var since: String?
    @Argument(help: nameHelp) var names: [String] = []

    func run() throws {
        var count: Int?
        if let lines {
            guard let number = Int(lines), number >= 0, !lines.hasPrefix("+") else {
                throw UsageError("--lines \(lines): expected a number of lines")
            }
            count = number
        }
        var time: Timestamp?
        if let since {
            do throws(LimitSyntaxError) { time = try Timestamp(since: since) } catch {
                throw UsageError("--since \(since): expected \(error.accepted)")
            }
        }
        try ServiceActions().logs(names, count, since: time, follows: follows)
    }
}

struct ServiceWait: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wait",
        abstract: "Wait until a service has ended for good.",
        usage: "cgrun service wait NAME",
        discussion: "Exits as the command did the last time: with its status, or with 128+n for signal n.")

    @Argument(help: "The service.") var name: String

    func run() throws { try ServiceActions(isLong: true).wait(name) }
}

struct ServiceAdopt: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adopt",
        abstract: "Take over services that have lost keeper and guard.",
        usage: "cgrun service adopt [NAME …]")

    @Argument(help: nameHelp) var names: [String] = []

    func run() throws { try ServiceActions().adopt(names) }
}

struct ServiceRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Forget services that do not run, with their logs.",
        usage: "cgrun service remove NAME …",
        discussion: "A log that --log has put elsewhere is left alone.")

    @Argument(help: "The services.") var names: [String]

    func run() throws { try ServiceActions().remove(names) }
}
