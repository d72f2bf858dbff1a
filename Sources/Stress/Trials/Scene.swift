internal import CgroupSandbox
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// Where one trial takes place on one side: its observer, its temporary directory, and what was started there.
final class Scene {
    let stage: Stage
    let side: StressSide
    let observer: Observer
    /// Whoever gives the command its work: not a part of what is tried.
    private let helpers: Observer
    let directory: String
    var traces: Traces
    private var instances: [Instance] = []
    /// Output of instances that have ended, and left somebody who may write to it: a process must not die of a closed
    /// pipe instead of being found.
    private var openOutputs: [CapturedOutput] = []
    private static let mostOpenOutputs = 32

    var plan: StressPlan { stage.plan }

    /// What all scenes of a suite share.
    struct Stage {
        let plan: StressPlan
        /// In which all output is read.
        let loop: EventLoop
        /// By which all observers count.
        let accounting: Limits
        let earlier: Traces.Earlier
    }

    /// - Parameter limits: of the observer, besides those by which it counts.
    init(_ stage: Stage, _ side: StressSide, limits: Limits?) throws(StressStop) {
        self.stage = stage
        self.side = side
        var all = stage.accounting
        if let limits { all.adopt(limits) }
        do {
            observer = try Observer(all)
            helpers = try Observer(stage.accounting)
            // Short: programs put sockets into it, whose paths may have 107 bytes.
            directory = "\(stage.plan.directory)/\(Machine.randomHexadecimal().prefix(6))"
            traces = Traces(directory: directory + "/tmp", earlier: stage.earlier)
            for path in [directory, traces.directory] { try checkErrno(mkdir(path, 0o700), "mkdir", path: path) }
        } catch { throw .broken("\(error)") }
    }

    /// What a command is started with, besides its words.
    struct Options {
        /// More options of cgrun's.
        var cgrun: [String] = []
        /// Whether a shell starts it, as a runner would, and waits for it.
        var throughShell = false
        /// On the bare side, timeout(1) is what ends the command then.
        var timeLimit: Duration?
        /// Whether the readiness is waited for, and work given.
        var isWorking = true
        /// Whether it may end, or the time be over, before it is ready.
        var mayFail = false
        /// Whether the command has a terminal.
        var isOnTerminal = false
    }

    /// Starts the command, and returns once it is ready and at work.
    func start(_ options: Options = Options()) throws(StressStop) -> Instance {
        var words = plan.command
        let grace = "\(plan.grace.seconds)s"
        switch (side, options.timeLimit) {
        case (.bare, let limit?):
            let timeout = ByteString.words(["timeout"])
            guard JobSpec(timeout).candidates.contains(where: { isExecutable($0.description) }) else {
                throw .notTested("there is no timeout(1) in PATH")
            }
            words = timeout + ByteString.words(["-k", grace, "\(limit.seconds)s"]) + words
        case (.bare, nil): break
        case (.cgrun, let limit):
            let timeout = limit.map { ["--timeout", "\($0.seconds)s"] } ?? []
            let cgrun = [plan.cgrun, "--quiet", "--kill-after", grace] + timeout + options.cgrun + ["--"]
            words = ByteString.words(cgrun) + words
        }
        // The shell must not become the command, or there would be nobody to kill.
        if options.throughShell { words = ByteString.words(["sh", "-c", "\"$@\"; exit $?", "sh"]) + words }
        let layers: [Instance.Layer] = (options.throughShell ? [.shell] : []) + (side == .cgrun ? [.cgrun] : [])
        let instance = try run(words, layers, onTerminal: options.isOnTerminal)
        if options.isWorking {
            do throws(StressStop) { try instance.awaitWork() } catch {
                switch error {
                case .notReady where options.mayFail, .ended where options.mayFail: break
                default: throw error
                }
            }
        }
        look()
        return instance
    }

    /// Notes what would be left if it were not removed.
    func look() { traces.look(at: observer.processes) }

    /// Starts any program here.
    ///
    /// - Parameter layers: what is around the command, the outermost first.
    func run(
        _ words: [ByteString], _ layers: [Instance.Layer] = [], onTerminal: Bool = false
    ) throws(StressStop) -> Instance {
        let instance = try Instance(words, in: self, layers, onTerminal: onTerminal)
        instances.append(instance)
        return instance
    }

    /// Gives up what instances that have ended hold.
    func forgetEnded() {
        let ended = instances.filter(\.hasEnded)
        instances.removeAll { instance in ended.contains { $0 === instance } }
        for instance in ended { instance.reap() }
        openOutputs = (openOutputs + ended.map(\.output)).filter { !$0.isOver }.suffix(Self.mostOpenOutputs)
    }

    /// A program in the surroundings of the command.
    func program(_ words: [ByteString]) -> Program {
        var environment = ThisProcess.environment
        for (name, value) in [("TMPDIR", traces.directory), ("CGRUN_STRESS", side.rawValue), ("CGRUN_JOB_ID", nil)] {
            environment.removeAll { $0.bytes.starts(with: Array("\(name)=".utf8)) }
            if let value { environment += ByteString.words(["\(name)=\(value)"]) }
        }
        var program = Program(candidates: JobSpec(words).candidates, arguments: words, environment: environment)
        program.startsSession = true
        return program
    }

    /// Runs a shell command beside what is tried.
    func help(_ command: String) throws(StressStop) -> Instance.Work {
        var program = program(ByteString.words(["sh", "-c", command]))
        do {
            let output = try CapturedOutput(stage.loop, lookingFor: nil)
            let end = output.takeWriting()
            program.replacedStreams = [1: end, 2: end].compactMapValues { $0 }
            program.replacedStreams[0] = SharedDescriptor(try Descriptor(opening: "/dev/null", O_RDONLY))
            return Instance.Work(try helpers.start(program), output)
        } catch { throw .broken("--work \(command.asName): \(error)") }
    }

    /// Ends all that is here, and removes its files.
    func close() throws(StressStop) {
        defer { plan.removeDirectory(directory) }
        do throws(StressError) {
            try observer.end()
            try helpers.end()
        } catch { throw .broken(error.description) }
        for instance in instances { instance.reap() }
        Orphans.reap()
    }
}

/// Why a trial has no finding of its own.
enum StressStop: Error {
    /// The command did not get to where it is tried.
    case notReady(String)
    /// The command had ended before anything could happen to it; with the end of its output, for messages.
    case ended(String)
    /// The command has failed the trial.
    case failed(Finding)
    /// The trial means nothing for this command, or on this machine.
    case notTested(String)
    /// The suite cannot go on.
    case broken(String)
}

extension ByteString {
    static func words(_ words: [String]) -> [ByteString] { words.map { ByteString(unchecked: Array($0.utf8)) } }
}
