import CgroupSandbox
import Foundation

/// What became of a file.
struct Outcome: Sendable {
    var file: String
    /// `nil`: it was not its turn any more.
    var result: JobResult<Void, String>?

    var isSuccess: Bool { result?.isSuccess ?? false }

    /// As the table has it: file, status, cause, time, memory.
    var columns: [String] {
        guard let result else { return [file, "-", "not started", "-", "-"] }
        let status =
            switch result.terminationStatus {
            case .exited(let code): "exit \(code)"
            case .signaled(let signal, _): "\(signal)"
            case nil: "unknown"
            }
        let report = result.report
        return [
            file, status, report.cause.rawValue, report.wallSeconds.map { String(format: "%.2f s", $0) } ?? "-",
            report.memory.peakBytes.map { "\(ByteCount($0))" } ?? "-",
        ]
    }

    /// Why it failed, for people: the library's explanation, or else the last that the command said.
    var remark: String? {
        guard let result, !isSuccess else { return nil }
        return result.report.explanation ?? result.standardError.split(separator: "\n").last.map(String.init)
    }
}

func printTable(_ outcomes: [Outcome]) {
    let rows = [["FILE", "STATUS", "CAUSE", "TIME", "MEMORY PEAK"]] + outcomes.map(\.columns)
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    for row in rows {
        let cells = zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
        print(cells.joined(separator: "  ").trimmingCharacters(in: .whitespaces))
    }
    for outcome in outcomes { if let remark = outcome.remark { print("\(outcome.file): \(remark)") } }
    let failed = outcomes.filter { !$0.isSuccess }.count
    print("\(outcomes.count - failed) done, \(failed) failed")
}

/// A bar on the terminal; nothing where standard error is a file or a pipe.
struct Progress: Sendable {
    var count: Int
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private static let width = 30

    init(count: Int) { self.count = count }

    func show(_ outcomes: [Outcome]) {
        guard isTerminal else { return }
        let full = outcomes.count * Self.width / max(1, count)
        let bar = String(repeating: "#", count: full) + String(repeating: ".", count: Self.width - full)
        let failed = outcomes.filter { !$0.isSuccess }.count
        write("\r[\(bar)] \(outcomes.count)/\(count)\(failed > 0 ? ", \(failed) failed" : "")")
    }

    /// Takes the bar away.
    func end() { if isTerminal { write("\r\u{1B}[K") } }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
