package import CgroupSandbox
package import LinuxSystem

/// What came of a trial, on one side.
package struct Finding: Sendable, Equatable, Codable {
    package enum Outcome: String, Sendable, Codable {
        case passed
        case failed
        /// What cgrun does not promise, and says so.
        case knownLimit = "known_limit"
        /// The trial could not be made: `detail` says why.
        case notTested = "not_tested"
    }

    package var outcome: Outcome
    /// What was seen, or why there was nothing to see, in a few words.
    package var detail: String
    /// Processes that should have been gone.
    package var left: [LeftProcess] = []
    /// Files, segments of shared memory and ports that should have been gone.
    package var traces: [String] = []

    /// How many processes and traces are kept at most; `detail` tells how many there were.
    private static let mostKept = 100
    /// How many traces `detail` names at most.
    private static let mostNamed = 3

    /// What prevents a failure, or what to do about it.
    @Explicit package var remedy: String?

    package init(
        _ outcome: Outcome, _ detail: String, left: [LeftProcess] = [], traces: [String] = [], remedy: String? = nil
    ) {
        self.outcome = outcome
        self.detail = detail
        self.left = Array(left.prefix(Self.mostKept))
        self.traces = Array(traces.prefix(Self.mostKept))
        self.remedy = remedy
    }

    static func passed(_ detail: String) -> Finding { Finding(.passed, detail) }
    static func failed(_ detail: String) -> Finding { Finding(.failed, detail) }
    static func notTested(_ reason: String) -> Finding { Finding(.notTested, reason) }

    /// A failure that tells what is left.
    static func failed(left: [LeftProcess], traces: [String] = []) -> Finding {
        var what: [String] = []
        if !left.isEmpty { what.append("left \(LeftProcess.summary(left))") }
        if !traces.isEmpty { what.append("left \(traces.named(at: mostNamed))") }
        return Finding(.failed, what.joined(separator: "; "), left: left, traces: traces)
    }

    /// A failure where anything is left, and otherwise what was seen.
    static func judged(_ seen: String, left: [LeftProcess], traces: [String] = []) -> Finding {
        left.isEmpty && traces.isEmpty ? .passed(seen) : .failed(left: left, traces: traces)
    }
}

/// A process that outlived what it belonged to.
package struct LeftProcess: Sendable, Equatable, Codable {
    package var pid: ProcessID
    /// As `ps` shows it.
    package var name: String
    package var command: String
    /// Who has it for a child by now.
    package var parentPID: ProcessID
    package var parentName: String
    /// Whether whoever started it has ended before it.
    package var isOrphan: Bool
    /// Where it listens: `127.0.0.1:8000`.
    package var ports: [String]
    /// Regular files that it has open for writing; a few at most.
    package var files: [String]

    enum CodingKeys: String, CodingKey {
        case pid, name, command, ports, files
        case parentPID = "parent_pid"
        case parentName = "parent_name"
        case isOrphan = "orphan"
    }

    private static let mostNames = 5

    /// `3 processes (2 sleep, 1 sh)`.
    static func summary(_ processes: [LeftProcess]) -> String {
        var counts: [(name: String, count: Int)] = []
        for process in processes {
            if let index = counts.firstIndex(where: { $0.name == process.name }) {
                counts[index].count += 1
            } else {
                counts.append((process.name, 1))
            }
        }
        let names = counts.map { "\($0.count) \($0.name)" }.named(at: mostNames)
        return "\(processes.count) \(processes.count == 1 ? "process" : "processes") (\(names))"
    }
}

extension [String] {
    /// The first few with commas between them, and how many more there are.
    fileprivate func named(at most: Int) -> String {
        prefix(most).joined(separator: ", ") + (count > most ? ", … and \(count - most) more" : "")
    }
}
