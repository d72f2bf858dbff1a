internal import SandboxValues

/// How close systemd comes to what a key means to supervisor. The raw values are used in JSON.
public enum Grade: String, Sendable, CaseIterable, Codable {
    /// systemd does the same.
    case exact
    /// systemd does something like it; `Finding.note` says what differs.
    case approximate
    /// systemd has nothing like it, or the key means nothing to supervisor either; `Finding.note` says which.
    case dropped
}

/// What became of one key of supervisor's configuration.
public struct Finding: Equatable, Sendable, Codable {
    /// The section that the key is in, without brackets: `program:api`.
    public var section: String
    /// The key in lower case, such as `startsecs`; empty where the section as a whole was dropped.
    public var key: String
    /// The key's value before expansion, or the part of it that the finding is about; `(default)` for a key that is
    /// not in the file.
    public var value: String
    /// How close systemd comes.
    public var grade: Grade
    /// What the key became, such as `KillSignal=SIGQUIT`. Empty where it was dropped, or where systemd does the same
    /// without being told.
    public var result: String
    /// What differs, or why the key was dropped; empty where nothing differs.
    public var note: String

    package init(_ section: String, _ key: String, _ value: String, _ grade: Grade, _ result: String, _ note: String) {
        self.section = section
        self.key = key
        self.value = value
        self.grade = grade
        self.result = result
        self.note = note
    }

    /// A table for people with a line for each key; long values are cut off.
    package static func table(_ findings: [Finding]) -> String {
        // Names and values are those of a file that somebody else may have written, and are shown in a terminal.
        let rows = findings.map { finding in
            [
                finding.grade.rawValue, "[\(finding.section)] \(finding.key)", short(finding.value),
                [short(finding.result), finding.note].filter { !$0.isEmpty }.joined(separator: " — "),
            ].map(\.inOneLine)
        }
        let table = [["GRADE", "KEY", "VALUE", "BECAME"]] + rows
        let widths = (0..<3).map { column in table.map { $0[column].count }.max() ?? 0 }
        return table.map { row in
            (0..<3).map { row[$0] + String(repeating: " ", count: widths[$0] - row[$0].count) }.joined(separator: "  ")
                + "  " + row[3]
        }.joined(separator: "\n") + "\n"
    }

    /// The text in one line of at most 48 characters.
    package static func short(_ text: String) -> String {
        let line = String(text.map { $0.isNewline ? " " : $0 }).inOneLine
        return line.count > 48 ? line.prefix(45) + "…" : line
    }
}
