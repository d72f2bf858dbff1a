internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

extension Report {
    /// One line for people about an end that needs explaining: what happened, the figure behind it,
    /// what to do. `nil` for a command that simply returned.
    public var explanation: String? {
        if !unkillable.isEmpty { return unkillableText }
        if result != .notStarted, let error {
            return "\(command) has ended, but \(error). Look at \(containment.cgroup ?? "its cgroup"); "
                + "the guard kills and removes what it can."
        }
        switch cause {
        case .normal where oomInTree:
            return "\(command) exited with 0, but the kernel killed \(oomVictims) of it at \(memoryLimitText): "
                + "its results may be incomplete. Raise --mem"
                + (launcherExitCode == 0 ? ", or give --fail-on-oom to make this a failure." : ".")
        case .normal, .nonzeroExit: return nil
        case .oomOwnLimit: return ownLimitText
        case .oomAncestor:
            let above = evidence.first { $0.source == "memory.max above the job" }?.value ?? "a cgroup above"
            return "\(victim) was killed by the kernel at the memory limit of a cgroup above the job (\(above)); "
                + "the job's own peak was \(peakText). Raise that limit, or run less beside it."
        case .oomSystem:
            return "\(victim) was killed by the kernel because the machine ran out of memory; "
                + "the job's own peak was \(peakText). Run less beside it, or limit it with --mem."
        case .oomd:
            return "\(command) was killed by systemd-oomd under memory pressure. Run less beside it."
        case .timeoutWall:
            return
                "\(command) was stopped at its time limit (--timeout \(seconds(limits.wallTimeoutSeconds)))\(stopText)."
                + " Raise --timeout, or find out what it waited for."
        case .timeoutCPU:
            return "\(command) was stopped at its CPU time limit (--cpu-time \(seconds(limits.cpuTimeoutSeconds)); "
                + "used \(seconds(cpu.usageSeconds)))\(stopText). Raise --cpu-time, or find out what it computed."
        case .pidsLimit: return pidsText
        case .signalForwarded: return forwardedText
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

    private var ownLimitText: String {
        let then = result == .exited ? "; \(command) then exited with \(exitCode ?? 0)" : ""
        return "\(victim) was killed by the kernel at \(memoryLimitText)\(then). Raise --mem, or make it use less."
    }

    private var pidsText: String {
        let end = exitCode.map { "exited with \($0)" } ?? "was ended by \(signal?.name ?? "a signal")"
        return "\(command) \(end) after the kernel had refused \(pids.refusedForks ?? 0) new processes or threads "
            + "(--pids \(limits.resources.pidsMax?.value.map { String($0) } ?? "max"); peak \(pids.peak.map { String($0) } ?? "unknown")). "
            + "Raise --pids; threads count."
    }

    /// `, then killed after 5s` and the like.
    private var stopText: String {
        guard let signal = termination.signal else { return "" }
        return termination.escalated
            ? " and killed, since it was still there \(seconds(termination.graceSeconds)) after \(signal.name)"
            : " with \(signal.name)"
    }

    private var forwardedText: String? {
        if termination.requestedBy == nil {
            return "\(command) was ended by \(signal?.name ?? "a signal"), which was sent to cgrun and passed on."
        }
        guard launcherExitCode != 0 else { return nil }
        return termination.escalated
            ? "\(command) was killed on request (SIGTERM to cgrun): it was still there "
                + "\(seconds(termination.graceSeconds)) after \(termination.signal?.name ?? "the signal"). "
                + "Raise --kill-after if it needs longer to finish."
            : "\(command) was stopped on request: cgrun got SIGTERM and passed on \(termination.signal?.name ?? "it")."
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
