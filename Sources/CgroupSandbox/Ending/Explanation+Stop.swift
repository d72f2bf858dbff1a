internal import SandboxValues

// What is told of jobs that were stopped.

extension Report {
    private func has(_ source: String) -> Bool { evidence.contains { $0.source == source } }

    /// Whether the command had ended before its job was stopped.
    private var stopWasForStrays: Bool { has(Diagnosis.afterCommand) }

    /// Whether the command ended in time at a stop, and others did not.
    private var leftoversWereKilled: Bool {
        termination.escalated && !strays.isEmpty && signal?.number != Signal.kill.rawValue && !stopWasForStrays
    }

    func stoppedAtTimeLimit(_ wording: Wording) -> Explanation {
        let end = exitCode.map { "had exited with \($0)" } ?? "had ended"
        let who = stopWasForStrays ? "\(command) \(end), and what it had left" : command
        guard cause == .timeoutCPU else {
            let limit = wording.choose("timeout", options: "--timeout")
            return Explanation(
                "\(who) was stopped at its time limit (\(limit) \(seconds(limits.wallTimeoutSeconds)))\(stopText).",
                advice: "Raise \(wording.choose("the timeout", options: limit)), or find out what it waited for.")
        }
        let limit = wording.choose("cpuTimeout", options: "--cpu-time")
        return Explanation(
            "\(who) was stopped at its CPU time limit (\(limit) \(seconds(limits.cpuTimeoutSeconds)); "
                + "used \(seconds(cpu.usageSeconds)))\(stopText).",
            advice: "Raise \(wording.choose("the limit", options: limit)), or find out what it computed.")
    }

    /// ` with SIGTERM`, for example; empty where no stop signal was sent.
    private var stopText: String {
        let byGuard = " and killed by the guard, since cgrun itself did not act (it was stopped, say)"
        guard let signal = termination.signal else { return has(Diagnosis.byGuard) ? byGuard : "" }
        guard termination.escalated else { return " with \(signal.name)" }
        if has(Diagnosis.byGuard) { return " with \(signal.name)" + byGuard }
        return leftoversWereKilled
            ? " with \(signal.name), and what it had left was killed \(seconds(termination.graceSeconds)) later"
            : " and killed, since it was still there \(seconds(termination.graceSeconds)) after \(signal.name)"
    }

    func forwarded(_ wording: Wording) -> Explanation? {
        guard let stop = termination.requestedBy else {
            let name = signal?.name ?? "a signal"
            return Explanation(
                "\(command) was ended by \(name), "
                    + wording.choose(
                        "which this program had sent it.", options: "which was sent to cgrun and passed on."))
        }
        guard launcherExitCode != 0 else { return nil }
        let request = stop == "caller" ? wording.choose("on request", options: "on request (SIGTERM to cgrun)") : stop
        guard let signal = termination.signal?.name else { return Explanation("\(command) was killed \(request).") }
        let grace = seconds(termination.graceSeconds)
        let advice = "Raise \(wording.choose("the grace", options: "--kill-after")) if it needs longer to finish."
        if leftoversWereKilled {
            return Explanation(
                "\(command) was stopped \(request) with \(signal), and what it had left was killed \(grace) later.",
                advice: advice)
        }
        guard termination.escalated else {
            return Explanation(
                "\(command) was stopped on request: "
                    + wording.choose("it was sent \(signal).", options: "cgrun got SIGTERM and passed on \(signal)."))
        }
        return Explanation(
            "\(command) was killed \(request): it was still there \(grace) after \(signal).", advice: advice)
    }
}
