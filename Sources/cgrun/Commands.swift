internal import ArgumentParser
internal import CgroupSandbox
internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

// What ArgumentParser is for: help, completions, the manual, subcommands, and the words for a mistyped
// option. A well-formed `run` never gets here (see main.swift).

struct Cgrun: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cgrun",
        abstract: "Run a command in a cgroup of its own, and let nothing of it outlive it.",
        usage: """
            cgrun [run] [options] [--] command [argument …]
            cgrun sweep [--dry-run]
            cgrun service start|stop|restart|reload|status|pid|logs|wait|adopt|remove|import …
            cgrun up|down|ps …
            cgrun check [--json]
            cgrun stress [options] [--] command [argument …]
            cgrun unit service|slice|scope|socket|timer|from-supervisor|from-services …
            """,
        discussion: """
            The whole process tree dies when the command ends, and when cgrun or the process that started it \
            is gone, SIGKILL included. Exit status: the command's own; 128+n for signal n; 124 after a timeout; \
            125 for a failure of cgrun itself; 126 if the command cannot be executed; 127 if it is not found.

            Example: cgrun --mem 2G --pids 256 --timeout 10m -- make -j4 test
            """,
        version: version,
        subcommands: [
            Run.self, ServiceCommand.self, UpCommand.self, DownCommand.self, PSCommand.self, SweepCommand.self,
            CheckCommand.self, StressCommand.self, UnitCommand.self,
        ])

    @OptionGroup var options: RunOptions
}

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a command in a cgroup of its own (the default).",
        usage: "cgrun run [options] [--] command [argument …]")

    @OptionGroup var options: RunOptions

    @Argument(help: "The command and its arguments, which are not looked at.", completion: .shellCommand("compgen -c"))
    var command: [String] = []
}

struct RunOptions: ParsableArguments {
    @OptionGroup(title: "Limits") var limits: LimitOptions
    @OptionGroup(title: "Time and ending") var ending: EndingOptions
    @OptionGroup(title: "The command's surroundings") var surroundings: SurroundingOptions
    @OptionGroup(title: "Cgroups") var cgroups: CgroupOptions
    @OptionGroup(title: "What cgrun tells") var output: OutputOptions
}

struct LimitOptions: ParsableArguments {
    @Option(.limit(.memoryMax)) var mem: String?
    @Option(.limit(.memoryHigh)) var memHigh: String?
    @Option(.limit(.swapMax)) var swap: String?
    @Option(.limit(.pidsMax)) var pids: String?
    @Option(.limit(.cpuMax)) var cpu: String?
    @Option(.limit(.cpuWeight)) var cpuWeight: String?
    @Option(.limit(.cpuset)) var cpuset: String?
    @Option(.limit(.ioMax)) var ioMax: [String] = []

    /// The limits that were given, as they were typed. ArgumentParser wants a property for each.
    private var given: [(kind: LimitKind, text: String)] {
        let all: [(LimitKind, [String?])] = [
            (.memoryMax, [mem]), (.memoryHigh, [memHigh]), (.swapMax, [swap]), (.pidsMax, [pids]), (.cpuMax, [cpu]),
            (.cpuWeight, [cpuWeight]), (.cpuset, [cpuset]), (.ioMax, ioMax),
        ]
        return all.flatMap { kind, texts in texts.compactMap { text in text.map { (kind, $0) } } }
    }

    func limits() throws -> Limits {
        var limits = Limits()
        for (kind, text) in given {
            _ = try UnitOptionValues.value(kind.flag, text) { (text) throws(LimitSyntaxError) in
                try kind.parse(text, &limits)
            }
        }
        return limits
    }

    /// The same limits as options of `cgrun run`.
    var arguments: [String] { given.flatMap { [$0.kind.flag, $0.text] } }
}

struct EndingOptions: ParsableArguments {
    @Option(.setting(.timeout)) var timeout: String?
    @Option(.setting(.cpuTime)) var cpuTime: String?
    @Option(.setting(.stopSignal), .list(["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL"]))
    var stopSignal: String?
    @Option(.setting(.killAfter)) var killAfter: String?
    @Option(.setting(.killMode), .list(JobSpec.KillMode.allCases.map(\.rawValue))) var killMode: String?
    @Option(.setting(.strays), .list(JobSpec.StrayPolicy.allCases.map(\.rawValue))) var strays: String?
    @Flag(.setting(.waitAll)) var waitAll = false
    @Flag(.setting(.dieWithParent)) var dieWithParent = false
    @Flag(.setting(.noDieWithParent)) var noDieWithParent = false
    @Flag(.setting(.failOnOOM)) var failOnOOM = false
}

struct SurroundingOptions: ParsableArguments {
    @Option(.setting(.setenv)) var setenv: [String] = []
    @Option(.setting(.workingDirectory), .directory) var workingDirectory: String?
    @Option(.setting(.uid), .shellCommand("compgen -u")) var uid: String?
    @Option(.setting(.gid), .shellCommand("compgen -g")) var gid: String?
    @Flag(.setting(.closeFDs)) var closeFDs = false
    @Flag(.setting(.pty)) var pty = false
}

struct CgroupOptions: ParsableArguments {
    @Option(.setting(.cgroupManager), .list(ManagerChoice.allCases.map(\.rawValue))) var cgroupManager: String?
    @Option(.setting(.cgroupParent), .directory) var cgroupParent: String?
    @Flag(.setting(.user)) var user = false
    @Flag(.setting(.system)) var system = false
    @Option(.setting(.slice)) var slice: String?
    @Option(.setting(.unit)) var unit: String?
    @Option(.setting(.description)) var description: String?
    @Option(.setting(.property)) var property: [String] = []
}

struct OutputOptions: ParsableArguments {
    @Option(.setting(.report), .file()) var report: String?
    @Option(.setting(.reportFD)) var reportFD: String?
    @Flag(.setting(.quiet)) var quiet = false
    @Flag(.setting(.verbose)) var verbose = false
    @Flag(.setting(.dryRun)) var dryRun = false
}

struct SweepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sweep",
        abstract: "Kill and remove what dead launchers left.",
        usage: "cgrun sweep [--dry-run]",
        discussion: """
            A leftover is a job whose launcher and guard were both killed. It is told from a live job by a lock \
            that the kernel drops with its last holder; a live job is never touched.
            """)

    @Flag(name: .customLong("dry-run"), help: "Only tell what would be killed and removed.")
    var isDryRun = false

    func run() throws {
        let found: [Sweep.Leftover]
        do { found = try Sweep.everywhere(in: Hierarchies.current(), dryRun: isDryRun) } catch {
            throw UsageError(LaunchError(error, .options).message)
        }
        for leftover in found {
            let what = leftover.failure.map { "cannot remove: \($0)" } ?? (isDryRun ? "would remove" : "removed")
            print("\(what): \(leftover.text)".inOneLine)
        }
        if found.isEmpty { print("nothing to sweep") }
        if found.contains(where: { $0.failure != nil }) { throw ExitCode(125) }
    }
}

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Tell what this machine can enforce for you, and what to do about the rest.",
        usage: "cgrun check [--json]",
        discussion: "Exits with 0 when jobs can be contained at all, and with 1 when they cannot.")

    @Flag(name: .customLong("json"), help: "For programs.")
    var isJSON = false

    func run() throws {
        let preflight = Preflight()
        if isJSON {
            print(String(decoding: try ReportOutput.encode(preflight.findings), as: UTF8.self), terminator: "")
        } else {
            let width = preflight.findings.map(\.subject.count).max() ?? 0
            for finding in preflight.findings {
                let padding = String(repeating: " ", count: width - finding.subject.count)
                print(
                    "\(finding.subject)\(padding)  \(finding.isAvailable ? "yes" : "no ")  \(finding.detail.inOneLine)")
                if let remedy = finding.remedy { print("\(String(repeating: " ", count: width))       → \(remedy)") }
            }
        }
        if !preflight.canContain { throw ExitCode(1) }
    }
}

// MARK: Names and texts from the grammar

extension Option where Value == String? {
    fileprivate init(_ option: RunOption, _ completion: CompletionKind? = nil) {
        self.init(name: option.specification, help: option.argumentHelp, completion: completion)
    }
}

extension Option where Value == [String] {
    fileprivate init(wrappedValue: [String], _ option: RunOption) {
        self.init(wrappedValue: wrappedValue, name: option.specification, help: option.argumentHelp)
    }
}

extension Flag where Value == Bool {
    fileprivate init(wrappedValue: Bool, _ option: RunOption) {
        self.init(wrappedValue: wrappedValue, name: option.specification, help: option.argumentHelp)
    }
}

extension RunOption {
    fileprivate var specification: NameSpecification {
        short.map { [.customShort($0), .customLong(name)] } ?? .customLong(name)
    }

    fileprivate var argumentHelp: ArgumentHelp {
        var text = ArgumentHelp(stringLiteral: help)
        text.valueName = valueName
        return text
    }
}
