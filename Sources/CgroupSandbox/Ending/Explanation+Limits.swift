internal import SandboxValues

// What is told of limits that were met above the job, or that did not hold.

extension Report {
    /// The path of a cgroup above and its limit, from the evidence.
    func limitAbove(_ source: String) -> String? { evidence.first { $0.source == source }?.value }

    /// For a command that was refused processes or threads.
    func refusedForks(_ wording: Wording) -> Explanation {
        let count = pids.refusedForks ?? 0
        let what = count == 1 ? "a new process or thread" : (count > 0 ? "\(count) " : "") + "new processes or threads"
        let peak = pids.peak.map { String($0) } ?? "unknown"
        let name = LimitKind.pidsMax.name
        let end = exitCode.map { "exited with \($0)" } ?? "was ended by \(signal?.name ?? "a signal")"
        let doubt = exitCode == 0 ? ": its results may be incomplete." : "."
        guard let above = limitAbove(Diagnosis.pidsLimitAbove) else {
            let limit = limits.resources.pidsMax?.value.map { String($0) } ?? "max"
            return Explanation(
                "\(command) \(end) after the kernel had refused it \(what) "
                    + "(\(wording.choose(name.description, options: name.flag)) \(limit); peak \(peak))\(doubt)",
                advice: "Raise \(name.text(wording)); threads count.")
        }
        let isOwnScope = containment.unit.map { above.contains("/\($0): ") } == true
        return Explanation(
            "\(command) \(end) after the kernel had refused \(count > 0 ? "it " : "")\(what) at the limit of a cgroup "
                + "above the job (\(above)); the job's own peak was \(peak)\(doubt)",
            advice: isOwnScope
                ? "Give \(name.text(wording)), which also raises the limit of its scope; threads count."
                : "Raise that limit, or run less beside it; threads count.")
    }

    // MARK: Limits that were changed

    /// For a command of whose end there is nothing else to tell; `nil` if its limits are what was set.
    func changedLimits(_ wording: Wording) -> Explanation? {
        guard !limitsChanged.isEmpty else { return nil }
        let end = exitCode.map { "exited with \($0)" } ?? "has ended"
        return Explanation(
            "\(command) \(end), but \(changes).",
            advice:
                "Run it as another user (\(wording.choose("credentials", options: "--uid"))), who may not write there.")
    }

    func withChanges(_ explanation: Explanation) -> Explanation {
        guard !limitsChanged.isEmpty else { return explanation }
        return Explanation("\(explanation.facts) Besides, \(changes).", advice: explanation.advice)
    }

    private var changes: String {
        "somebody changed its limits while it ran: "
            + limitsChanged.map { change in
                let name = change.file.split(separator: "/").last ?? ""
                return "\(name) was set to \(change.set), and \(change.found.map { "is \($0)" } ?? "is gone")"
            }.joined(separator: ", ")
    }
}
