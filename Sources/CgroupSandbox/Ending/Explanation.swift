internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

/// What people are told of an end that needs explaining.
struct Explanation: Equatable {
    /// What happened, and the figure behind it.
    var facts: String
    /// What to do about it; `nil` when nothing general can be said.
    var advice: String?

    init(_ facts: String, advice: String? = nil) {
        self.facts = facts.inOneLine
        self.advice = advice?.inOneLine
    }
}

extension Report {
    /// The explanation and the advice as one line; `nil` for a command that simply returned.
    package var message: String? {
        explanation.map { facts in advice.map { "\(facts) \($0)" } ?? facts }
    }

    /// - Parameter wording: whether limits are called by the library's names or by options.
    mutating func explain(_ wording: Wording) {
        let told = told(wording).map { withChanges($0) } ?? changedLimits(wording)
        (explanation, advice) = (told?.facts, told?.advice)
    }

    private func told(_ wording: Wording) -> Explanation? {
        if !unkillable.isEmpty { return Explanation(unkillableText) }
        if result != .notStarted, let error {
            return Explanation(
                "\(command) has ended, but \(error).",
                advice: "Look at \(containment.cgroup ?? "its cgroup"); the guard kills and removes what it can.")
        }
        switch cause {
        case .normal where oomInTree:
            let failing = wording.choose("set failsOnOOM", options: "give --fail-on-oom")
            return Explanation(
                "\(command) exited with 0, but the kernel killed \(oomVictims) of it at \(memoryLimitText): "
                    + "its results may be incomplete.",
                advice: "Raise \(memoryLimit(wording))"
                    + (launcherExitCode == 0 ? ", or \(failing) to make this a failure." : "."))
        case .normal where pids.refusedForks ?? 0 > 0 || limitAbove(Diagnosis.pidsLimitAbove) != nil:
            return refusedForks(wording)
        case .normal, .nonzeroExit: return nil
        case .oomOwnLimit:
            let then = result == .exited ? "; \(command) then exited with \(exitCode ?? 0)" : ""
            return Explanation(
                "\(victim) was killed by the kernel at \(memoryLimitText)\(then).",
                advice: "Raise \(memoryLimit(wording)), or make it use less.")
        case .oomAncestor:
            let above = limitAbove(Diagnosis.memoryLimitAbove) ?? "a cgroup above"
            return Explanation(
                "\(victim) was killed by the kernel at the memory limit of a cgroup above the job (\(above)); "
                    + "the job's own peak was \(peakText).",
                advice: "Raise that limit, or run less beside it.")
        case .oomSystem:
            return Explanation(
                "\(victim) was killed by the kernel because the machine ran out of memory; "
                    + "the job's own peak was \(peakText).",
                advice: "Run less beside it, or "
                    + wording.choose("give it a memory limit.", options: "limit it with --mem."))
        case .oomd:
            return Explanation(
                "\(command) was killed by systemd-oomd under memory pressure.", advice: "Run less beside it.")
        case .timeoutWall, .timeoutCPU: return stoppedAtTimeLimit(wording)
        case .pidsLimit, .pidsAncestor: return refusedForks(wording)
        case .signalForwarded: return forwarded(wording)
        case .signalOther: return signalled
        case .parentLost:
            return error.map { Explanation($0) }
                ?? Explanation(
                    "\(command) was killed because the process that had started cgrun was gone.",
                    advice: "--no-die-with-parent lets a job outlive it.")
        case .launcherLost: return Explanation("\(command) was killed because its launcher was.")
        case .guardLost:
            return Explanation(
                "\(command) was killed because its guard was lost and could not be replaced.",
                advice: "Find out what kills cgrun-guard.")
        case .unitStopped:
            let unit = containment.unit ?? "its scope"
            let end =
                switch signal {
                case nil: "exited with \(exitCode ?? 0) after its unit, \(unit), was stopped"
                case .some(let signal) where signal.number == Signal.kill.rawValue: "was killed with its unit, \(unit)"
                case .some(let signal): "was ended by \(signal.name) with its unit, \(unit)"
                }
            return Explanation(
                "\(command) \(end), which cgrun did not stop: systemctl stop, the end of a session, or the loss of its "
                    + "manager.")
        case .cancelled: return Explanation("\(command) was cancelled.")
        case .setupError, .execError: return error.map { Explanation($0) }
        case .unknown: return Explanation("\(command) ended, and nothing tells why.")
        }
    }

    // MARK: Parts of it

    var command: String {
        guard let path = argv.first else { return "the command" }
        return (path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path).asName
    }

    private var victim: String {
        result == .exited ? "a process that \(command) had started" : command
    }

    private var oomVictims: String {
        let kills = memory.events?["oom_kill"] ?? 1
        return kills == 1 ? "1 process" : "\(kills) processes"
    }

    private var peakText: String { memory.peakBytes.map { ByteCount($0).description } ?? "unknown" }

    /// Memory that the kernel can take back at any time is none that the job needs.
    private var cacheText: String {
        guard let parts = memory.atEnd, let peak = memory.peakBytes else { return "" }
        let cache = parts.fileBytes - min(parts.sharedBytes, parts.fileBytes)
        guard cache >= peak / 2 else { return "" }
        return
            " (most of it page cache, which the kernel takes back when memory is short: \(ByteCount(cache)) at the end)"
    }

    private var memoryLimitText: String {
        guard let limit = limits.memory else { return "a memory limit" }
        return "its memory limit (\(limit); peak \(peakText))"
    }

    private func memoryLimit(_ wording: Wording) -> String { LimitKind.memoryMax.name.text(wording) }

    /// A signal that cgrun did not send. The kernel does not tell who did.
    private var signalled: Explanation {
        guard let signal else { return Explanation("\(command) was ended by a signal.") }
        let dumped = coreDumped ? ", core dumped" : ""
        if evidence.contains(where: { $0.source == "signal source" && $0.value == "terminal" }) {
            return Explanation("\(command) was interrupted from the terminal (\(signal.name)\(dumped)).")
        }
        if let used = evidence.first(where: { $0.source == Diagnosis.cpuTimeLimit })?.value {
            return Explanation(
                "\(command) was ended by \(signal.name) when it had used \(used) of CPU time, its limit as a process "
                    + "(RLIMIT_CPU).",
                advice: "Raise ulimit -t where it is set, or find out what it computed.")
        }
        let known = Signal(rawValue: signal.number)
        switch known {
        case .abort:
            return Explanation(
                "\(command) aborted (SIGABRT\(dumped)): a failed check of its own, or a watchdog.",
                advice: "See its last output.")
        case .kill:
            guard memory.events != nil else {
                return Explanation(
                    "\(command) was ended by SIGKILL, which cgrun did not send: a process of the job did, one outside, "
                        + "or the kernel for want of memory, which is not counted for this job.")
            }
            return Explanation(
                "\(command) was ended by SIGKILL. cgrun did not send it, and the kernel counted no kill for want of "
                    + "memory: a process of the job sent it, or one outside.")
        case .pipe:
            return Explanation("\(command) was ended by SIGPIPE: whoever read its output stopped reading.")
        case .cpuTimeUsed:
            return Explanation(
                "\(command) was ended by SIGXCPU\(dumped), which the kernel sends to a process at its limit on CPU time "
                    + "(RLIMIT_CPU).",
                advice: "Raise ulimit -t where it is set, or find out what it computed.")
        case .fileTooLarge:
            return Explanation(
                "\(command) was ended by SIGXFSZ\(dumped), which the kernel sends for a file that grows beyond the limit "
                    + "of the process (RLIMIT_FSIZE).",
                advice: "Raise ulimit -f where it is set.")
        case _ where Signal.faults.contains(known):
            return Explanation("\(command) crashed (\(signal.name)\(dumped)).", advice: "See its last output.")
        default:
            return Explanation(
                "\(command) was ended by \(signal.name)\(dumped), which cgrun did not send: "
                    + "a process of the job did, or one outside.")
        }
    }

    private var unkillableText: String {
        let who = unkillable.prefix(5).map { "\($0.pid) \($0.comm.asName)" }.joined(separator: ", ")
        return "\(unkillable.count) processes of \(command) do not die from SIGKILL (\(who)): they wait in the kernel, "
            + "for a disk or a network file system, say, or are frozen. The guard stays and removes them once they can die."
    }

    func seconds(_ value: Double?) -> String {
        guard let value else { return "unknown" }
        guard let milliseconds = Int64(exactly: (value * 1000).rounded()) else { return "\(value)s" }
        guard milliseconds % 1000 != 0 else { return "\(milliseconds / 1000)s" }
        return value < 1 ? "\(milliseconds)ms" : "\((value * 100).rounded() / 100)s"
    }

    /// What the job used, in one line.
    public var usage: String {
        var parts = ["\(seconds(wallSeconds)) wall", "\(seconds(cpu.usageSeconds)) CPU"]
        if memory.peakBytes != nil { parts.append("memory peak \(peakText)\(cacheText)") }
        if let peak = pids.peak { parts.append("\(peak) processes and threads at most") }
        if !strays.isEmpty {
            let who = strays.prefix(5).map { "\($0.pid) \($0.comm.asName)" }.joined(separator: ", ")
            let end = termination.cgroupKill ? "killed" : "asked to end"
            parts.append("\(strays.count) left behind and \(end) (\(who))")
        }
        let end = signal.map { "was ended by \($0.name)" } ?? exitCode.map { "exited with \($0)" } ?? "ended"
        return "\(command) \(end): " + parts.joined(separator: ", ")
    }
}
