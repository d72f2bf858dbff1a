internal import CgroupSandbox
internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// Carries out `cgrun run`.
struct RunCommand {
    let request: RunRequest
    /// The parent of this process, as it was when this process started.
    let parent: ProcessID

    private var console: Console { Console(isQuiet: request.isQuiet, isVerbose: request.isVerbose) }

    /// - Returns: what this process has to end with.
    func run() -> ExitStatus {
        do {
            // Another user's command must not type into this terminal. It gets a terminal of its own if all standard
            // streams are this terminal and this process is in the foreground: a pipeline would share the keys.
            let isKeptApart = request.spec.job.needsOwnSession()
            let wantsTerminal = request.wantsTerminal || isKeptApart && ThisProcess.isAtTerminal
            let signals = try SignalForwarder(relaysTerminal: wantsTerminal || isKeptApart)
            let relay = wantsTerminal ? try TerminalRelay() : nil
            var spec = request.spec
            spec.job.terminal = relay?.settings
            spec.job.keepsIgnoredSignals = true
            let output = try ReportOutput(request)
            do {
                return try run(spec, output, signals, relay)
            } catch let error as LaunchError {
                console.error(error.message)
                if !request.isDryRun { try output?.write(Report(notStarted: spec, error)) }
                return .exited(code: error.exitCode)
            }
        } catch {
            console.error((error as? SystemError).map { LaunchError($0).message } ?? "\(error)")
            return .exited(code: 125)
        }
    }

    private func run(
        _ spec: LaunchSpec, _ output: ReportOutput?, _ signals: SignalForwarder, _ relay: TerminalRelay?
    ) throws -> ExitStatus {
        let watch = try spec.diesWithParent ? ParentWatch(parent) : nil
        if watch?.isHidden == true, request.insistsOnParent {
            throw LaunchError(
                .setup,
                "--die-with-parent: the process that started cgrun is outside this pid namespace, and nobody in "
                    + "here notices its loss",
                remedy:
                    "leave the option out, and have the namespace end with that process, as unshare --kill-child does")
        }
        let prepared = try PreparedJob(spec)
        if request.isDryRun {
            printPlan(["manager \(prepared.facts.manager)"] + (try prepared.plan()), spec)
            return .exited(code: 0)
        }
        if console.isVerbose {
            console.note("manager \(prepared.facts.manager)")
            for step in try prepared.plan() { console.note(step) }
        }
        let recovery = try output?.recovery(for: prepared.facts)
        do { try relay?.passKeys() } catch {
            throw LaunchError(
                .setup,
                "\(request.wantsTerminal ? "--pty" : "--uid"): the terminal on standard input cannot be had: \(error)",
                remedy: "run it in the foreground, or with another input, such as /dev/null")
        }
        defer { relay?.restore() }
        let job = try LaunchedJob(prepared, parent: watch, recovery: recovery)
        if console.isVerbose {
            for note in job.notes { console.note(note) }
            if watch?.isHidden == true {
                console.note("nobody notices the loss of a parent outside this pid namespace")
            }
            console.note("cgroup \(job.cgroupPath)")
            console.note("command has pid \(job.pid), guard has pid \(job.guardPID ?? 0)")
        }
        let wantsEverything = output != nil || console.isVerbose
        let failure = Locked<(any Error)?>(nil)
        let report = job.waitForEnd(signals, relay, detail: wantsEverything ? .everything : .death) { report in
            do {
                try output?.write(report)
                recovery?.markDelivered()
            } catch { failure.withLock { $0 = error } }
        }
        if let failure = failure.withLock({ $0 }) {
            relay?.finish(signals, parent: watch, patience: spec.job.grace)
            throw failure
        }
        // After a stop, a slow reader of the output does not get more time than the command.
        relay?.finish(signals, parent: watch, patience: report.termination.requestedBy == nil ? nil : spec.job.grace)
        console.explain(report)
        return Self.end(as: report)
    }

    /// A command that died of a key's signal is not enough to tell a shell that its script or loop is to end: the shell
    /// looks whether cgrun died of that signal itself.
    private static func end(as report: Report) -> ExitStatus {
        let code = report.launcherExitCode ?? 125
        let ofKeys: [Signal] = [.interrupt, .quit]
        let signal = ofKeys.first { $0.rawValue == report.signal?.number && code == 128 + $0.rawValue }
        return signal.map { .signaled($0, coreDumped: false) } ?? .exited(code: code)
    }

    // MARK: --dry-run

    private func printPlan(_ steps: [String], _ spec: LaunchSpec) {
        var lines = steps
        lines.append(
            "start cgrun-guard, watching cgrun" + (spec.diesWithParent && parent > 0 ? " and pid \(parent)" : ""))
        if let directory = spec.job.workingDirectory { lines.append("chdir \(directory)") }
        if let credentials = spec.job.credentials {
            lines.append(
                "uid \(credentials.uid), gid \(credentials.gid), groups "
                    + credentials.supplementaryGroups.map { String($0) }.joined(separator: " "))
        }
        if let terminal = spec.job.terminal {
            lines.append("setsid, on a terminal of \(terminal.size.columns) columns and \(terminal.size.rows) rows")
        } else if spec.job.needsOwnSession() {
            lines.append("setsid, without a terminal")
        }
        lines.append("exec " + CommandWords.shown(spec.job.arguments.map(\.description)))
        let asked = spec.job.killMode == .mixed ? "the command" : "every process"
        let stop = "\(spec.job.stopSignal) to \(asked), \(spec.job.grace.seconds)s later cgroup.kill"
        if let timeout = spec.job.timeout { lines.append("after \(timeout.seconds)s: \(stop)") }
        if let limit = spec.job.cpuTimeout { lines.append("after \(limit.seconds)s of CPU time: \(stop)") }
        print(lines.map(\.inOneLine).joined(separator: "\n"))
    }
}
