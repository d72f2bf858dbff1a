package import SandboxValues

/// One thing that goes wrong for programs, and that the suite causes.
package enum Trial: String, Sendable, CaseIterable, Codable {
    case normalEnd = "0"
    case terminate = "1a"
    case interrupt = "1b"
    case hangUp = "1c"
    case killMain = "2"
    case timeout = "3"
    case workerKilled = "5a"
    case workerTerminated = "5b"
    case workerStopped = "5c"
    case parentKilled = "6a"
    case launcherKilled = "6b"
    case launcherAndGuardKilled = "6c"
    case outOfMemory = "7a"
    case forkRefused = "7b"
    case restart = "8"
    case doubleStart = "9"
    case cycles = "10"

    package var title: String {
        switch self {
        case .normalEnd: "normal end, five times"
        case .terminate: "SIGTERM"
        case .interrupt: "SIGINT, as by Ctrl-C"
        case .hangUp: "SIGHUP, as by a closed terminal"
        case .killMain: "SIGKILL of the main process"
        case .timeout: "time limit"
        case .workerKilled: "SIGKILL of a worker at work"
        case .workerTerminated: "SIGTERM of a worker at work"
        case .workerStopped: "SIGSTOP of a worker, then SIGTERM"
        case .parentKilled: "SIGKILL of the process that started it"
        case .launcherKilled: "SIGKILL of cgrun"
        case .launcherAndGuardKilled: "SIGKILL of cgrun and its guard at once"
        case .outOfMemory: "out of memory at its limit"
        case .forkRefused: "no new process at its limit"
        case .restart: "restart with a connection open"
        case .doubleStart: "second start while it runs"
        case .cycles: "starts and stops in a row"
        }
    }

    /// The number of monitoring's scenarios, which some share: `5` for `5a`.
    private var number: Substring { rawValue.prefix { $0.isNumber } }

    /// The trials of a list such as `2,5,7a`.
    package static func parse(_ list: String) throws(LimitSyntaxError) -> [Trial] {
        var chosen: Set<Trial> = []
        for word in list.split(separator: ",", omittingEmptySubsequences: false) {
            let found = allCases.filter { $0.rawValue == word || $0.number == word }
            guard !found.isEmpty else { throw LimitSyntaxError(accepted: accepted) }
            chosen.formUnion(found)
        }
        return allCases.filter(chosen.contains)
    }

    /// The option without which the trial cannot be made.
    package func missingOption(in plan: StressPlan) -> String? {
        switch self {
        case .workerKilled, .workerTerminated, .workerStopped: plan.worker == nil ? "--worker" : nil
        case .restart:
            if case .port = plan.readiness { nil } else { "--ready PORT" }
        default: nil
        }
    }

    package static var accepted: String {
        "numbers with commas between them, of \(allCases.map(\.rawValue).joined(separator: " "))"
    }
}
