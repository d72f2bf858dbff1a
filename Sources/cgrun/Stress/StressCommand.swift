internal import ArgumentParser
internal import CgroupSandbox
internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import Stress

struct StressCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stress",
        abstract: "Try what a command leaves behind when things go wrong, bare and under cgrun.",
        usage: "cgrun stress [options] [--] command [argument …]",
        discussion: """
            Ends, kills, limits and restarts the command in the ways that production does, each in a cgroup in which all \
            that is left is counted; then the same under cgrun. Shows a table, what was left, and what prevents it. \
            Nothing of it outlives the suite, and nothing outside of its cgroups gets a signal.

            Exits with 0 if nothing failed under cgrun (with --side bare: bare), and with 1 otherwise. The command gets \
            CGRUN_STRESS, which is bare or cgrun, and a TMPDIR of its own in its environment; a program that runs tools \
            of its own can run them by cgrun where that says so.

            Examples:
              cgrun stress --ready 8000 --worker 'gunicorn: worker' -- gunicorn -w 2 app:app
              cgrun stress --only 2,5 --work './enqueue' --busy mubeng --worker ForkPoolWorker -- celery -A tasks worker
            """)

    @Option(
        help: ArgumentHelp(
            "When the command is ready: the TCP port at which it listens then, or a text that a line of its output has.",
            valueName: "port|text"))
    var ready: String?
    @Option(
        help: ArgumentHelp(
            "Give the command work once it is ready, by this shell command, before anything happens to it.",
            valueName: "command"))
    var work: String?
    @Option(
        help: ArgumentHelp(
            "Wait until a process is there whose command line matches this regular expression.", valueName: "pattern"))
    var busy: String?
    @Option(
        help: ArgumentHelp(
            "Which processes below the main one are workers, by their command lines (a regular expression), for 5.",
            valueName: "pattern"))
    var worker: String?
    @Option(help: ArgumentHelp("How often to start and stop it for 10 (default: 12).", valueName: "n"))
    var cycles: String?
    @Option(help: ArgumentHelp("Make only these scenarios, such as 2,5,7a.", valueName: "list")) var only: String?
    @Option(
        help: ArgumentHelp("Try it bare, under cgrun, or both (default).", valueName: "bare|cgrun|both"),
        completion: .list(["bare", "cgrun", "both"]))
    var side: String?
    @Option(
        help: ArgumentHelp("How long it may take to end after a stop signal (default: 5s).", valueName: "duration"))
    var grace: String?
    @Option(
        help: ArgumentHelp(
            "How long it may take to be ready, to begin to work, or to end by itself (default: 10s).",
            valueName: "duration"))
    var patience: String?
    @Option(
        help: ArgumentHelp(
            "Write the table as Markdown to this file, too; -: to standard output, and the table to standard error.",
            valueName: "file"), completion: .file())
    var markdown: String?
    @Option(
        help: ArgumentHelp(
            "Write everything as JSON to this file, too; -: to standard output, and the table to standard error.",
            valueName: "file"), completion: .file())
    var json: String?
    /// The directory of a suite that has its job already.
    @Option(help: .private) var inside: String?
    @Argument(help: "The command and its arguments, which are not looked at.", completion: .shellCommand("compgen -c"))
    var command: [String] = []

    func run() throws {
        // As the caller wrote them, byte for byte.
        let words = Array(ThisProcess.arguments.suffix(command.count))
        guard !words.isEmpty else { throw UsageError("no command given; expected cgrun stress [options] -- command") }
        if let inside {
            let code = try StressRun(plan(words, inside), markdown: markdown, json: json).run()
            if code != 0 { throw ExitCode(code) }
        } else {
            _ = try plan(words, "")
            // A key that has ended the suite ends a shell's loop around it, too.
            ThisProcess.end(as: StandardOutput.flush(try StressJob.run()))
        }
    }

    /// The words with a `--` before the command, so that nobody takes the command's options for the suite's.
    ///
    /// - Parameter words: what follows `cgrun`. Each option of the suite's has a value, but for help.
    static func parted(_ words: [String]) -> [String] {
        var index = 1
        while index < words.count, words[index].hasPrefix("-") {
            if words[index] == "--" { return words }
            index += words[index].contains("=") || ["-h", "--help"].contains(words[index]) ? 1 : 2
        }
        guard index < words.count else { return words }
        return words[..<index] + ["--"] + words[index...]
    }

    private func plan(_ words: [ByteString], _ directory: String) throws -> StressPlan {
        var plan = StressPlan(
            command: words, cgrun: ThisProcess.executablePath ?? "/proc/self/exe", directory: directory,
            readReport: StressRun.readReport, removeDirectory: StressRun.removeDirectory)
        plan.readiness = try value("ready", ready) { (text) throws(LimitSyntaxError) in
            try StressPlan.Readiness(parsing: text)
        }
        plan.work = work
        plan.busy = try value("busy", busy) { (text) throws(LimitSyntaxError) in try CommandPattern(text) }
        plan.worker = try value("worker", worker) { (text) throws(LimitSyntaxError) in try CommandPattern(text) }
        plan.cycles =
            try value("cycles", cycles) { (text) throws(LimitSyntaxError) in
                guard let count = Int(text), (1...10_000).contains(count), !text.hasPrefix("+") else {
                    throw LimitSyntaxError(accepted: "a number from 1 to 10000")
                }
                return count
            } ?? plan.cycles
        plan.trials =
            try value("only", only) { (text) throws(LimitSyntaxError) in try Trial.parse(text) } ?? plan.trials
        plan.sides =
            try value("side", side) { (text) throws(LimitSyntaxError) in
                if text == "both" { return StressSide.allCases }
                guard let side = StressSide(rawValue: text) else {
                    throw LimitSyntaxError(accepted: "bare, cgrun or both")
                }
                return [side]
            } ?? plan.sides
        if markdown == "-", json == "-" {
            throw UsageError("--markdown -, --json -: both are for standard output; expected a file for one of them")
        }
        if let only, plan.sides == [.bare], plan.trials.allSatisfy(\.isOfCgrun) {
            throw UsageError("--only \(only), --side bare: expected scenarios that can be tried without cgrun")
        }
        if let only,
            let (trial, option) = plan.trials.lazy.compactMap({ trial in
                trial.missingOption(in: plan).map { (trial, $0) }
            }).first
        {
            throw UsageError("--only \(only): scenario \(trial.rawValue) needs \(option)")
        }
        plan.grace =
            try value("grace", grace) { (text) throws(LimitSyntaxError) in
                try Duration(parsingLimit: text)
            } ?? plan.grace
        plan.patience =
            try value("patience", patience) { (text) throws(LimitSyntaxError) in
                try Duration(parsingLimit: text)
            } ?? plan.patience
        return plan
    }

    private func value<Value>(
        _ option: String, _ text: String?, _ read: (String) throws(LimitSyntaxError) -> Value
    ) throws -> Value? {
        guard let text else { return nil }
        return try UnitOptionValues.value("--" + option, text, read)
    }
}
