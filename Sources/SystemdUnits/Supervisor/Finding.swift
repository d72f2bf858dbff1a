/// How close a conversion is.
public enum Grade: String, Sendable, CaseIterable, Codable {
    /// systemd does the same.
    case exact
    /// systemd does something like it; the note says what differs.
    case approximate
    /// There is nothing like it, or nothing that it could mean.
    case dropped
}

/// What became of one key.
public struct Finding: Equatable, Sendable, Codable {
    /// `program:api`
    public var section: String
    /// `startsecs`
    public var key: String
    /// As it stands in the file; where supervisor's default counts, `(default) 1`.
    public var value: String
    public var grade: Grade
    /// `KillSignal=SIGQUIT`; empty for what was dropped.
    public var result: String
    /// What differs, or why it was dropped; empty for exact conversions.
    public var note: String

    init(_ section: String, _ key: String, _ value: String, _ grade: Grade, _ result: String, _ note: String) {
        self.section = section
        self.key = key
        self.value = value
        self.grade = grade
        self.result = result
        self.note = note
    }

    /// A table for people, one key a line.
    public static func table(_ findings: [Finding]) -> String {
        let rows = findings.map { finding in
            [
                finding.grade.rawValue, "[\(finding.section)] \(finding.key)", short(finding.value),
                [short(finding.result), finding.note].filter { !$0.isEmpty }.joined(separator: " — "),
            ]
        }
        let table = [["GRADE", "KEY", "VALUE", "BECAME"]] + rows
        let widths = (0..<3).map { column in table.map { $0[column].count }.max() ?? 0 }
        return table.map { row in
            (0..<3).map { row[$0] + String(repeating: " ", count: widths[$0] - row[$0].count) }.joined(separator: "  ")
                + "  " + row[3]
        }.joined(separator: "\n") + "\n"
    }

    private static func short(_ text: String) -> String {
        let line = String(text.map { $0.isNewline ? " " : $0 })
        return line.count > 48 ? line.prefix(45) + "…" : line
    }
}
