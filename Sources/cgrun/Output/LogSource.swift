internal import LinuxSystem
internal import Services

/// The log of one service among several, line by line.
final class LogSource {
    /// What stands before each line; `nil`: the log is shown as it is.
    private let prefix: String?
    private var file: LogTail
    private let times: LogTimes
    /// `nil`: the log is a file.
    private let journal: JournalTail?
    /// What has come of a line that is not complete yet.
    private var begun: [UInt8] = []

    /// - Parameter log: as a service's status names it.
    init(prefix: String?, _ client: ServiceClient, log: String) {
        self.prefix = prefix
        file = LogTail(log)
        times = LogTimes(client.directory.logTimes)
        journal = log == LogRules.journal ? JournalTail(of: client) : nil
    }

    /// Passes over all that is there, and follows what is added.
    func follow() throws {
        if let journal { try journal.follow(nil, since: .now) } else { file.skip() }
    }

    /// The last lines; what was set aside counts as well.
    ///
    /// - Parameters:
    ///   - time: nothing that was written before it.
    ///   - follows: whether `more` is to go on from there.
    func last(_ count: Int?, since time: Timestamp?, follows: Bool) throws -> [UInt8] {
        guard let journal else { return shown(file.last(count, from: time.flatMap { times.place(since: $0) })) }
        // One journalctl for both: between two, lines would be lost.
        guard follows else { return shown(try journal.last(count, since: time)) }
        try journal.follow(count, since: time)
        return []
    }

    /// What was added since.
    func more() -> [UInt8] { shown(journal?.more() ?? file.more()) }

    /// Whether nothing more will come.
    var isOver: Bool { journal?.isOver == true }

    /// What is left, with a line that was never ended.
    func rest() -> [UInt8] {
        let more = more()
        return begun.isEmpty ? more : more + shown([UInt8(ascii: "\n")])
    }

    private func shown(_ bytes: [UInt8]) -> [UInt8] {
        guard let prefix else { return bytes }
        let lines = LogTail.lines(begun + bytes)
        begun = lines.last.map { $0.last == UInt8(ascii: "\n") ? [] : Array($0) } ?? []
        return lines.filter { $0.last == UInt8(ascii: "\n") }.flatMap { Array(prefix.utf8) + $0 }
    }
}
