internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// A command that was started, bare or with something around it.
final class Instance {
    /// What was started: the command, or the outermost of the layers.
    let process: ProcessDescriptor
    let began = BootTime.now
    let output: CapturedOutput
    private unowned let scene: Scene
    private let layers: [Layer]
    /// On which it was started, with its keys; `nil` for none.
    private var terminal: PseudoTerminal?
    /// What was there before.
    private let earlier: ProcessTree
    private var work: Work?
    private var workFailure: String?
    private var status: ExitStatus?
    private(set) var main: ProcessID
    /// `nil` where the main process is the one that was started.
    private var mainProcess: ProcessDescriptor?
    /// What ran once the command was ready, and before it had work.
    private(set) var idle = ProcessTree([])

    /// What is around a command, and has it for a child.
    enum Layer { case shell, cgrun }

    /// Who gives the command work.
    final class Work {
        let process: ProcessDescriptor
        let output: CapturedOutput

        init(_ process: consuming ProcessDescriptor, _ output: CapturedOutput) {
            self.process = process
            self.output = output
        }
    }

    /// How long a command without a sign of readiness gets to start.
    private static let settling = Duration.milliseconds(500)

    /// - Parameter layers: the outermost first.
    init(_ words: [ByteString], in scene: Scene, _ layers: [Layer], onTerminal: Bool) throws(StressStop) {
        self.scene = scene
        self.layers = layers
        earlier = scene.observer.processes
        var program = scene.program(words)
        do {
            var wanted: String?
            if case .line(let text)? = scene.plan.readiness { wanted = text }
            if onTerminal {
                let own = try PseudoTerminal(PseudoTerminal.Settings())
                output = try CapturedOutput(scene.stage.loop, own, lookingFor: wanted)
                program.terminal = own
                terminal = own
            } else {
                output = try CapturedOutput(scene.stage.loop, lookingFor: wanted)
                let end = output.takeWriting()
                program.replacedStreams = [1: end, 2: end].compactMapValues { $0 }
                program.replacedStreams[0] = SharedDescriptor(try Descriptor(opening: "/dev/null", O_RDONLY))
            }
            process = try scene.observer.start(program)
        } catch { throw .broken("\(words[0].description.asName) does not start: \(error)") }
        main = process.pid
    }

    // MARK: Becoming ready

    /// Waits until the command is ready, gives it work, and waits until the work has begun.
    func awaitWork() throws(StressStop) {
        let plan = scene.plan
        switch plan.readiness {
        case .port(let port)?: try wait(to: plan.readiness?.infinitive ?? "") { listens(at: port) }
        case .line?: try wait(to: plan.readiness?.infinitive ?? "") { output.hasWanted }
        case nil: settle()
        }
        try findMain()
        idle = scene.observer.processes
        if let command = plan.work { work = try scene.help(command) }
        if let busy = plan.busy {
            try wait(to: "show a process that matches \(busy.text.asName)") {
                // What is left of an earlier start is not at work for this one.
                scene.observer.processes.subtracting(earlier).contains { busy.matches(Self.commandLine($0.pid)) }
            }
        } else if plan.work != nil {
            settle()
        }
        try checkWork()
    }

    /// Gives whatever gives the command work some time to fail.
    func awaitEndOfWork(within bound: Duration) throws(StressStop) {
        _ = try holds(within: bound) { () throws(StressStop) in
            try checkWork()
            return work == nil
        }
    }

    /// A request that has failed has given no work.
    private func checkWork() throws(StressStop) {
        if workFailure == nil, let work, work.process.hasEnded {
            if let status = try? work.process.waitForEnd(), status != .exited(code: 0) {
                workFailure = "got no work: --work \(status.text)\(work.output.lastLines)"
            }
            self.work = nil
        }
        if let workFailure { throw .notReady(workFailure) }
    }

    private func findMain() throws(StressStop) {
        var pid = process.pid
        for layer in layers {
            var child: ProcessID?
            do throws(StressStop) {
                try wait(to: "start") {
                    child = scene.observer.processes.children(of: pid).first {
                        layer == .shell || Self.isInJob($0, of: pid)
                    }
                    return child != nil
                }
            } catch {
                // Without a sign of readiness, to end soon is nothing wrong.
                if scene.plan.readiness == nil, hasEnded, case .notReady = error { throw .ended(lastLines) }
                throw error
            }
            pid = child ?? pid
        }
        guard pid != process.pid else { return }
        main = pid
        do { mainProcess = try ProcessDescriptor(pid: pid) } catch { mainProcess = nil }
    }

    /// Whether a launcher's child is its command, which has a cgroup of its own; the guard stays in the launcher's, but
    /// for the moment in which both are moved into a leaf.
    private static func isInJob(_ child: ProcessID, of launcher: ProcessID) -> Bool {
        guard let own = try? Hierarchies.unifiedPath(of: launcher), let place = try? Hierarchies.unifiedPath(of: child)
        else { return false }
        return place != own && ProcessTable.commandName(child) != "cgrun-guard"
    }

    private func settle() { _ = holds(within: Self.settling) { hasEnded } }

    /// Waits for something that the command is to do.
    private func wait(to what: String, _ isDone: () -> Bool) throws(StressStop) {
        let isDone = try holds(within: scene.plan.patience) { () throws(StressStop) in
            // Asked first: what a process has done before its end counts.
            let hasEnded = hasEnded
            if isDone() { return true }
            try checkWork()
            if hasEnded { throw .notReady("ended before it could \(what)\(lastLines)") }
            return false
        }
        if !isDone { throw .notReady("did not \(what) within \(scene.plan.patience.seconds)s\(lastLines)") }
    }

    /// Whether a process that was not there before listens at the port.
    func listens(at port: UInt16) -> Bool {
        // One that is left of an earlier start is not this one.
        scene.observer.processes.subtracting(earlier).contains { process in
            OpenFiles(of: process.pid).ports.contains { $0.port == port }
        }
    }

    static func commandLine(_ pid: ProcessID) -> String { ProcessTable.commandLine(pid).joined(separator: " ") }

    /// The end of the output, for messages.
    var lastLines: String { output.lastLines }

    // MARK: Its end

    var hasEnded: Bool { status != nil || process.hasEnded }
    var isMainAlive: Bool {
        if main == process.pid { return !hasEnded }
        return mainProcess?.hasEnded == false
    }
    var age: Duration { .now - began }

    func send(_ signal: Signal) { try? process.send(signal) }

    /// Presses Ctrl-C.
    func interrupt() {
        let key: [UInt8] = [3]
        try? terminal?.writing.descriptor.write(key, path: "/dev/ptmx")
    }

    /// Closes the terminal.
    func hangUp() {
        output.close()
        terminal = nil
    }

    /// Waits for the end of what was started.
    ///
    /// - Parameter look: called again and again.
    /// - Returns: how it ended; `nil` if it did not within this time.
    func end(within bound: Duration, meanwhile look: () -> Void) -> ExitStatus? {
        _ = holds(within: bound) {
            look()
            return hasEnded
        }
        return end(within: .zero)
    }

    /// Waits for the end of what was started.
    ///
    /// - Returns: how it ended; `nil` if it did not within this time.
    func end(within bound: Duration) -> ExitStatus? {
        if status == nil { status = (try? process.waitForEnd(within: bound)) ?? nil }
        return status
    }

    /// Reaps a process that has ended.
    func reap() { _ = end(within: .seconds(1)) }
}

extension CapturedOutput {
    /// The end of the output, for messages.
    var lastLines: String {
        let lines = text.split(whereSeparator: \.isNewline).suffix(3)
        return lines.isEmpty ? "" : "; its last lines: \(lines.map { String($0.prefix(200)) }.joined(separator: " / "))"
    }
}

extension ExitStatus {
    /// `exited with 0`, `died of SIGKILL`.
    var text: String {
        switch self {
        case .exited(let code): "exited with \(code)"
        case .signaled(let signal, _): "died of \(signal)"
        }
    }
}
