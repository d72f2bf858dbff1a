internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

extension Report {
    /// One line for people about an end that needs explaining: what happened, the figure behind it, what to do. `nil`
    /// for a command that simply returned.
    public var explanation: String? { explanation(.library) }

    /// The explanation in the words of the library, or of the command line, which calls limits by their options.
    package func explanation(_ wording: Wording) -> String? {
        if !unkillable.isEmpty { return unkillableText }
        if result != .notStarted, let error {
            return "\(command) has ended, but \(error). Look at \(containment.cgroup ?? "its cgroup"); "
                + "the guard kills and removes what it can."
        }
        switch cause {
        case .normal where oomInTree:
            return "\(command) exited with 0, but the kernel killed \(oomVictims) of it at \(memoryLimitText): "
                + "its results may be incomplete. Raise \(memoryLimit(wording))"
                + (launcherExitCode == 0
                    ? ", or \(wording.choose("set failsOnOOM", options: "give --fail-on-oom")) to make this a failure."
                    : ".")
        case .normal, .nonzeroExit: return nil
        case .oomOwnLimit: return ownLimitText(wording)
        case .oomAncestor:
            let above = evidence.first { $0.source == "memory.max above the job" }?.value ?? "a cgroup above"
            return "\(victim) was killed by the kernel at the memory limit of a cgroup above the job (\(above)); "
                + "the job's own peak was \(peakText). Raise that limit, or run less beside it."
        case .oomSystem:
            return "\(victim) was killed by the kernel because the machine ran out of memory; "
                + "the job's own peak was \(peakText). Run less beside it, or "
                + wording.choose("give it a memory limit.", options: "limit it with --mem.")
        case .oomd:
            return "\(command) was killed by systemd-oomd under memory pressure. Run less beside it."
        case .timeoutWall:
            let limit = wording.choose("timeout", options: "--timeout")
            return
                "\(command) was stopped at its time limit (\(limit) \(seconds(limits.wallTimeoutSeconds)))\(stopText). "
                + "Raise \(wording.choose("the timeout", options: limit)), or find out what it waited for."
        case .timeoutCPU:
            let limit = wording.choose("cpuTimeout", options: "--cpu-time")
            return "\(command) was stopped at its CPU time limit (\(limit) \(seconds(limits.cpuTimeoutSeconds)); "
                + "used \(seconds(cpu.usageSeconds)))\(stopText). "
                + "Raise \(wording.choose("the limit", options: limit)), or find out what it computed."
        case .pidsLimit: return pidsText(wording)
        case .signalForwarded: return forwardedText(wording)
        case .signalOther: return signalText
        case .parentLost:
            return error ?? "\(command) was killed because the process that had started cgrun was gone. "
                + "--no-die-with-parent lets a job outlive it."
        case .launcherLost: return "\(command) was killed because its launcher was."
        case .guardLost:
            return "\(command) was killed because its guard was lost and could not be replaced. "
                + "Find out what kills cgrun-guard."
        case .unitStopped:
            return "\(command) was killed with its unit, \(containment.unit ?? "its scope"), which cgrun did not stop: "
                + "systemctl stop, the end of a session, or the loss of its manager."
        case .cancelled: return "\(command) was cancelled."
        case .setupError, .execError: return error
        case .unknown: return "\(command) ended, and nothing tells why."
        }
    }

    // MARK: Parts of it

    private var command: String {
        let path = argv.first ?? "the command"
        return path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    }

    private var victim: String {
        result == .exited ? "a process that \(command) had started" : command
    }

    private var oomVictims: String {
        let kills = memory.events?["oom_kill"] ?? 1
        return kills == 1 ? "1 process" : "\(kills) processes"
    }

    private var peakText: String { memory.peakBytes.map { ByteCount($0).description } ?? "unknown" }

    private var memoryLimitText: String {
        guard let limit = limits.memory else { return "a memory limit" }
        return "its memory limit (\(limit); peak \(peakText))"
    }

    private func memoryLimit(_ wording: Wording) -> String { LimitKind.memoryMax.name.text(wording) }

    private func ownLimitText(_ wording: Wording) -> String {
        let then = result == .exited ? "; \(command) then exited with \(exitCode ?? 0)" : ""
        return "\(victim) was killed by the kernel at \(memoryLimitText)\(then). "
            + "Raise \(memoryLimit(wording)), or make it use less."
    }

    private func pidsText(_ wording: Wording) -> String {
        let end = exitCode.map { "exited with \($0)" } ?? "was ended by \(signal?.name ?? "a signal")"
        let limit = limits.resources.pidsMax?.value.map { String($0) } ?? "max"
        let name = LimitKind.pidsMax.name
        return "\(command) \(end) after the kernel had refused \(pids.refusedForks ?? 0) new processes or threads "
            + "(\(wording.choose(name.description, options: name.flag)) \(limit); "
            + "peak \(pids.peak.map { String($0) } ?? "unknown")). Raise \(name.text(wording)); threads count."
    }

    /// ` with SIGTERM`, for example; empty where the command got no stop signal.
    private var stopText: String {
        guard let signal = termination.signal else { return "" }
        return termination.escalated
            ? " and killed, since it was still there \(seconds(termination.graceSeconds)) after \(signal.name)"
            : " with \(signal.name)"
    }

    private func forwardedText(_ wording: Wording) -> String? {
        guard let stop = termination.requestedBy else {
            let name = signal?.name ?? "a signal"
            return "\(command) was ended by \(name), "
                + wording.choose("which this program had sent it.", options: "which was sent to cgrun and passed on.")
        }
        guard launcherExitCode != 0 else { return nil }
        let request = stop == "caller" ? wording.choose("on request", options: "on request (SIGTERM to cgrun)") : stop
        guard let signal = termination.signal?.name else { return "\(command) was killed \(request)." }
        guard termination.escalated else {
            return "\(command) was stopped on request: "
                + wording.choose("it was sent \(signal).", options: "cgrun got SIGTERM and passed on \(signal).")
        }
        let grace = wording.choose("the grace", options: "--kill-after")
        return "\(command) was killed \(request): it was still there \(seconds(termination.graceSeconds)) after "
            + "\(signal). Raise \(grace) if it needs longer to finish."
    }

    private var signalText: String {
        guard let signal else { return "\(command) was ended by a signal." }
        let dumped = coreDumped ? ", core dumped" : ""
        if evidence.contains(where: { $0.source == "signal source" && $0.value == "terminal" }) {
            return "\(command) was interrupted from the terminal (\(signal.name)\(dumped))."
        }
        switch Signal(rawValue: signal.number) {
        case .abort:
            return
                "\(command) aborted (SIGABRT\(dumped)): a failed check of its own, or a watchdog. See its last output."
        case .kill:
            return "\(command) was killed from outside (SIGKILL): neither by cgrun nor by a memory limit of the job. "
                + "Look for who sent it."
        case .terminate, .interrupt, .hangUp, .quit, .user1, .user2:
            return "\(command) was ended by \(signal.name)\(dumped) from outside; cgrun did not send it."
        case .pipe:
            return "\(command) was ended by SIGPIPE: whoever read its output stopped reading."
        default:
            return "\(command) crashed (\(signal.name)\(dumped)). See its last output."
        }
    }

    private var unkillableText: String {
        let who = unkillable.prefix(5).map { "\($0.pid) \($0.comm)" }.joined(separator: ", ")
        return "\(unkillable.count) processes of \(command) do not die from SIGKILL (\(who)): they wait in the kernel, "
            + "for a disk or a network file system, say, or are frozen. The guard stays and removes them once they can die."
    }

    private func seconds(_ value: Double?) -> String {
        guard let value else { return "unknown" }
        let milliseconds = Int64((value * 1000).rounded())
        guard milliseconds % 1000 != 0 else { return "\(milliseconds / 1000)s" }
        return value < 1 ? "\(milliseconds)ms" : "\((value * 100).rounded() / 100)s"
    }

    /// What the job used, in one line.
    public var usage: String {
        var parts = ["\(seconds(wallSeconds)) wall", "\(seconds(cpu.usageSeconds)) CPU"]
        if memory.peakBytes != nil { parts.append("memory peak \(peakText)") }
        if let peak = pids.peak { parts.append("\(peak) processes and threads at most") }
        if !strays.isEmpty {
            let who = strays.prefix(5).map { "\($0.pid) \($0.comm)" }.joined(separator: ", ")
            parts.append("\(strays.count) left behind and killed (\(who))")
        }
        let end = signal.map { "was ended by \($0.name)" } ?? exitCode.map { "exited with \($0)" } ?? "ended"
        return "\(command) \(end): " + parts.joined(separator: ", ")
    }
}
