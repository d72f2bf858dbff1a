internal import Services

/// The log of one service among several, line by line.
final class LogSource {
    /// What stands before each line; `nil`: the log is shown as it is.
    private let prefix: String?
    private var tail: LogTail
    /// What has come of a line that is not complete yet.
    private var begun: [UInt8] = []

    init(prefix: String?, _ path: String) {
        self.prefix = prefix
        tail = LogTail(path)
    }

    /// Passes over all that is there.
    func skip() { tail.skip() }
    /// The last lines; what was set aside counts as well.
    func last(_ count: Int?) -> [UInt8] { shown(tail.last(count)) }
    /// What was added since.
    func more() -> [UInt8] { shown(tail.more()) }
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
