internal import Services
internal import TOMLKit

extension StatementList {
    init(parsing bytes: [UInt8]) {
        // A byte order mark, which some editors write.
        let bytes = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
        guard let text = String(validating: bytes, as: UTF8.self) else {
            self = .mistake(line: 1, text: "the file is not UTF-8")
            return
        }
        // The library ends a string there without a word.
        for nul in ["\\u0000", "\\U00000000"] {
            guard let place = text.firstRange(of: nul) else { continue }
            self = .mistake(
                line: text[..<place.lowerBound].utf8.count { $0 == UInt8(ascii: "\n") } + 1,
                text: "expected text without NUL")
            return
        }
        do { _ = try TOMLTable(string: text) } catch {
            let error = error as? TOMLParseError
            self = .mistake(
                line: Int(error?.source.begin.line ?? 1), text: error?.description ?? "the file is no TOML")
            return
        }
        self = .statements(StatementReader(bytes).statements())
    }
}

/// Splits a document, which is valid as a whole, into its statements.
///
/// The library tells no positions of what it has read. But every statement begins a line and is a document by itself,
/// while no beginning of one is: what is open at the end of a line must be closed in a later one.
private struct StatementReader {
    private let lines: [ArraySlice<UInt8>]

    init(_ bytes: [UInt8]) {
        lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    }

    func statements() -> [Statement] {
        var result: [Statement] = []
        var header: [String] = []
        var first = 0
        while first < lines.count {
            let (table, next) = table(from: first)
            let found = Self.flatten(table)
            let start = lines[first].first { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }
            if start == UInt8(ascii: "["), let path = found.first?.path {
                header = path
                result.append(Statement(line: first + 1, path: path, value: found[0].value))
            } else {
                result += found.map { Statement(line: first + 1, path: header + $0.path, value: $0.value) }
            }
            first = next
        }
        return result
    }

    /// - Returns: what the statement at this line says, and the line after it.
    private func table(from first: Int) -> (TOMLTable, Int) {
        for end in first..<lines.count where end == first || Self.mayClose(lines[end]) {
            let text = lines[first...end].flatMap { $0 + [UInt8(ascii: "\n")] }
            if let table = try? TOMLTable(string: String(decoding: text, as: UTF8.self)) { return (table, end + 1) }
        }
        return (TOMLTable(), lines.count)
    }

    /// Whether something that is open may be closed in this line: an array, or a string of several lines.
    private static func mayClose(_ line: ArraySlice<UInt8>) -> Bool {
        line.contains(UInt8(ascii: "]"))
            || [UInt8(ascii: "\""), UInt8(ascii: "'")].contains { quote in line.count { $0 == quote } >= 3 }
    }

    private static func flatten(_ table: TOMLTable) -> [(path: [String], value: Statement.Value)] {
        var result: [(path: [String], value: Statement.Value)] = []
        for (key, value) in table {
            let parts = value.table.map(flatten) ?? [(path: [], value: Self.value(value))]
            // A table in which nothing is.
            result += parts.isEmpty ? [(path: [key], value: .table)] : parts.map { ([key] + $0.path, $0.value) }
        }
        return result
    }

    private static func value(_ value: any TOMLValueConvertible) -> Statement.Value {
        if let text = value.string { return .string(text) }
        if let flag = value.bool { return .boolean(flag) }
        if let number = value.int { return .integer(number) }
        // JSON has no infinity.
        if let number = value.double { return number.isFinite ? .real(number) : .string("\(number)") }
        if let elements = value.array { return .array(elements.map { Self.value($0) }) }
        if value.table != nil { return .table }
        return .moment(value.debugDescription)
    }
}
