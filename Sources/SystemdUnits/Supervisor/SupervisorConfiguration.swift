/// A configuration of supervisor as supervisor's own parser sees it: Python's RawConfigParser with `;` and `#` as
/// comments after a blank, sections of the same name merged, and keys in lower case.
package struct SupervisorConfiguration {
    /// The value of a key before expansion, and the file that it is from.
    package struct Value {
        package var text: String
        package var file: String
    }

    /// A section, such as `[program:x]`, with its keys.
    package struct Section {
        /// What is between the brackets.
        package var name: String
        /// The file in which the section came first.
        package var file: String
        /// The keys in the order in which they came.
        package var keys: [String] = []
        package var values: [String: Value] = [:]

        /// Sets a key, in place of a value that it had.
        mutating func set(_ key: String, _ value: Value) {
            if values.updateValue(value, forKey: key) == nil { keys.append(key) }
        }
    }

    /// The sections in the order in which they came, without `[DEFAULT]`.
    package private(set) var sections: [Section] = []
    /// `[DEFAULT]`: values for keys that a section does not have itself.
    private var defaults = Section(name: "DEFAULT", file: "")

    package func section(_ name: String) -> Section? { sections.first { $0.name == name } }

    /// A key's value in this section, or else in `[DEFAULT]`.
    package func value(_ section: String, _ key: String) -> Value? {
        self.section(section)?.values[key] ?? defaults.values[key]
    }

    /// Puts a directory in place of every `%(here)s` in the values read so far. As in supervisor's `expand_here`,
    /// this is done after each file with the directory of that file, so that each value gets the directory of its own
    /// file.
    mutating func expandHere(_ directory: String) {
        for index in sections.indices {
            for (key, value) in sections[index].values {
                let text = value.text.unicodeScalars.replacing(
                    "%(here)s".unicodeScalars, with: directory.unicodeScalars)
                sections[index].values[key]?.text = String(text)
            }
        }
    }

    // MARK: Parser

    /// Reads one more file. Its keys take the place of those that the same sections have from earlier files.
    ///
    /// - Parameters:
    ///   - text: what is in the file.
    ///   - file: the file's path, for messages.
    /// - Throws: for a line that is no section, key, continuation or comment.
    mutating func read(_ text: String, file: String) throws(SupervisorError) {
        // The keys of this file with the lines of their values so far; joined when all lines are read.
        var pending: [(section: Int?, key: String, lines: [String])] = []
        var current: Int?
        var isInDefaults = false
        var hasOption = false
        var indentation = 0
        // LF, CR and both together, which are one character to Swift, end a line, as they do when Python reads text.
        let lines = text.split(omittingEmptySubsequences: false) { ["\n", "\r", "\r\n"].contains($0) }
        for (number, characters) in lines.enumerated() {
            let line = Array(characters.unicodeScalars)
            let (value, hadComment) = Self.withoutComment(line)
            func failure(_ message: String) -> SupervisorError {
                SupervisorError(file: file, line: number + 1, message: "\(message), but got \(value)")
            }
            guard !value.isEmpty else {
                if !hadComment, hasOption { pending[pending.count - 1].lines.append("") }
                continue
            }
            let indent = line.prefix { Self.isBlank($0) }.count
            if hasOption, indent > indentation {
                pending[pending.count - 1].lines.append(value)
                continue
            }
            indentation = indent
            if value.hasPrefix("["), let close = value.lastIndex(of: "]"), close > value.index(after: value.startIndex)
            {
                let name = String(value[value.index(after: value.startIndex)..<close])
                hasOption = false
                isInDefaults = name == "DEFAULT"
                current = isInDefaults ? nil : index(of: name, file: file)
                continue
            }
            guard current != nil || isInDefaults else {
                throw failure("expected a [section] before the first key")
            }
            guard let delimiter = value.firstIndex(where: { $0 == "=" || $0 == ":" }),
                delimiter != value.startIndex
            else { throw failure("expected key=value") }
            let key = Self.stripped(String(value[..<delimiter])).lowercased()
            guard !key.isEmpty else { throw failure("expected key=value") }
            pending.append((current, key, [Self.stripped(String(value[value.index(after: delimiter)...]))]))
            hasOption = true
        }
        for (section, key, lines) in pending {
            let value = Value(text: Self.strippedAtEnd(lines.joined(separator: "\n")), file: file)
            if let section { sections[section].set(key, value) } else { defaults.set(key, value) }
        }
    }

    /// The section's place in `sections`, at whose end a new section is added.
    private mutating func index(of name: String, file: String) -> Int {
        if let index = sections.firstIndex(where: { $0.name == name }) { return index }
        sections.append(Section(name: name, file: file))
        return sections.count - 1
    }

    /// The line without its comment and the blanks around it, and whether it had a comment.
    ///
    /// A `;` or `#` after a blank begins a comment. As in configparser, the first round looks at the first `;` and
    /// the first `#` of the line, the second round at the second of each, and so on; the first round that finds the
    /// beginning of a comment decides, even where a later round would find one further left.
    private static func withoutComment(_ line: [Unicode.Scalar]) -> (String, Bool) {
        let first = line.first { !isBlank($0) }
        if first == ";" || first == "#" { return ("", true) }
        var positions: [[Int]] = []
        for sign: Unicode.Scalar in [";", "#"] { positions.append(line.indices.filter { line[$0] == sign }) }
        var start: Int?
        for round in 0..<max(positions[0].count, positions[1].count) where start == nil {
            for found in positions where round < found.count {
                let index = found[round]
                if index == 0 || isBlank(line[index - 1]) { start = min(start ?? index, index) }
            }
        }
        return (stripped(String(String.UnicodeScalarView(line[..<(start ?? line.count)]))), start != nil)
    }

    /// Whether Python's `str.isspace` says so.
    static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }

    /// The text without blanks at its ends, as Python's `str.strip` makes it.
    static func stripped(_ text: String) -> String {
        strippedAtEnd(String(text.unicodeScalars.drop { isBlank($0) }))
    }

    private static func strippedAtEnd(_ text: String) -> String {
        var scalars = text.unicodeScalars
        while let last = scalars.last, isBlank(last) { scalars.removeLast() }
        return String(scalars)
    }
}
