/// A supervisor configuration as its own parser sees it: Python's RawConfigParser with `;` and `#` as
/// comments after a blank, repeated sections merged and keys in lower case.
struct SupervisorConfiguration {
    struct Value {
        var text: String
        var file: String
    }

    struct Section {
        var name: String
        var file: String
        /// In the order of the file.
        var keys: [String] = []
        var values: [String: Value] = [:]

        mutating func set(_ key: String, _ value: Value) {
            if values.updateValue(value, forKey: key) == nil { keys.append(key) }
        }
    }

    private(set) var sections: [Section] = []
    private var defaults = Section(name: "DEFAULT", file: "")

    func section(_ name: String) -> Section? { sections.first { $0.name == name } }

    /// A key's raw text, `[DEFAULT]` included.
    func value(_ section: String, _ key: String) -> Value? {
        self.section(section)?.values[key] ?? defaults.values[key]
    }

    /// What `expand_here` does in supervisor: the directory of the file that was read just now stands
    /// for every `%(here)s` that is there by then.
    mutating func expandHere(_ directory: String) {
        for index in sections.indices {
            for (key, value) in sections[index].values {
                guard let text = value.text.replacing("%(here)s", by: directory) else { continue }
                sections[index].values[key]?.text = text
            }
        }
    }

    // MARK: Parser

    /// Reads one more file on top of what is there.
    mutating func read(_ text: String, file: String) throws(SupervisorError) {
        // What values gathered in this file, to be joined at its end.
        var pending: [(section: Int?, key: String, lines: [String])] = []
        var current: Int?
        var isInDefaults = false
        var hasOption = false
        var indentation = 0
        for (number, line) in Self.lines(of: text).enumerated() {
            let (value, hadComment) = Self.withoutComment(line)
            let failure = SupervisorError(file: file, line: number + 1, section: nil, key: nil, message: "")
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
                throw failure.saying("expected a [section] before the first key, but got \(value)")
            }
            guard let delimiter = value.firstIndex(where: { $0 == "=" || $0 == ":" }),
                delimiter != value.startIndex
            else { throw failure.saying("expected key=value, but got \(value)") }
            let key = Self.stripped(String(value[..<delimiter])).lowercased()
            guard !key.isEmpty else { throw failure.saying("expected key=value, but got \(value)") }
            pending.append((current, key, [Self.stripped(String(value[value.index(after: delimiter)...]))]))
            hasOption = true
        }
        for (section, key, lines) in pending {
            let value = Value(text: Self.strippedAtEnd(lines.joined(separator: "\n")), file: file)
            if let section { sections[section].set(key, value) } else { defaults.set(key, value) }
        }
    }

    private mutating func index(of name: String, file: String) -> Int {
        if let index = sections.firstIndex(where: { $0.name == name }) { return index }
        sections.append(Section(name: name, file: file))
        return sections.count - 1
    }

    /// With universal line ends, as Python opens text.
    private static func lines(of text: String) -> [[Unicode.Scalar]] {
        var lines: [[Unicode.Scalar]] = []
        var line: [Unicode.Scalar] = []
        var wasReturn = false
        for scalar in text.unicodeScalars {
            if scalar == "\n" || scalar == "\r" {
                if !(scalar == "\n" && wasReturn) {
                    lines.append(line)
                    line = []
                }
            } else {
                line.append(scalar)
            }
            wasReturn = scalar == "\r"
        }
        return line.isEmpty ? lines : lines + [line]
    }

    /// Both comment signs are looked for in rounds, and the first round that finds one decides, even
    /// if the other sign has a match further left: as configparser does it.
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

    static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }

    /// Python's `str.strip`.
    static func stripped(_ text: String) -> String {
        strippedAtEnd(String(text.unicodeScalars.drop { isBlank($0) }))
    }

    private static func strippedAtEnd(_ text: String) -> String {
        var scalars = text.unicodeScalars
        while let last = scalars.last, isBlank(last) { scalars.removeLast() }
        return String(scalars)
    }
}

extension String {
    /// - Returns: `nil` when there was nothing to replace.
    func replacing(_ pattern: String, by replacement: String) -> String? {
        let bytes = Array(utf8)
        let wanted = Array(pattern.utf8)
        var result: [UInt8] = []
        var index = 0
        var found = false
        while index < bytes.count {
            if bytes[index] == wanted[0], bytes[index...].starts(with: wanted) {
                result += replacement.utf8
                index += wanted.count
                found = true
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return found ? String(decoding: result, as: UTF8.self) : nil
    }
}
