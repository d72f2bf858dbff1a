internal import SandboxValues

/// A value to be written as TOML. The library that reads TOML writes no comments, so a `cgrun.toml` is written here.
indirect enum TOMLValue: Equatable {
    case text(String)
    case number(Int)
    case texts([String])
    case table([Entry])

    struct Entry: Equatable {
        var key: String
        var value: TOMLValue
    }

    /// How long a line may be, in characters, where it can be broken at all.
    static let width = 100

    /// A table of texts.
    static func table(_ texts: [(String, String)]) -> TOMLValue {
        .table(texts.map { Entry(key: $0, value: .text($1)) })
    }

    /// The lines that give a key this value.
    ///
    /// - Parameter key: as `name(_:)` writes it; with dots for a key in a table.
    func lines(_ key: String) -> [String] {
        let line = "\(key) = \(written)"
        guard line.count > Self.width else { return [line] }
        switch self {
        case .text, .number: return [line]
        case .texts(let texts): return ["\(key) = ["] + Self.wrapped(texts.map(Self.quoted), end: ",") + ["]"]
        // An inline table has one line; with dots in the keys it has as many as it needs.
        case .table(let entries): return entries.flatMap { $0.value.lines("\(key).\(Self.name($0.key))") }
        }
    }

    private var written: String {
        switch self {
        case .text(let text): Self.quoted(text)
        case .number(let number): "\(number)"
        case .texts(let texts): "[\(texts.map(Self.quoted).joined(separator: ", "))]"
        case .table(let entries):
            entries.isEmpty
                ? "{}" : "{ \(entries.map { "\(Self.name($0.key)) = \($0.value.written)" }.joined(separator: ", ")) }"
        }
    }

    /// Lines that have these words, with four blanks in front.
    private static func wrapped(_ words: [String], end: String) -> [String] {
        var lines: [String] = []
        for word in words {
            if let last = lines.last, last.count + word.count + 2 <= width {
                lines[lines.count - 1] += " " + word + end
            } else {
                lines.append("    " + word + end)
            }
        }
        return lines
    }

    /// A key: as it is where TOML takes it so, else in quotes.
    static func name(_ key: String) -> String {
        let isBare =
            !key.isEmpty
            && key.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
        return isBare ? key : quoted(key)
    }

    /// The text between double quotes. What TOML does not take there, and what an editor could not show, is escaped.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            case _ where scalar.isUnprintable:
                result +=
                    (scalar.value > 0xFFFF ? "\\U" : "\\u")
                    + digits(scalar.value, scalar.value > 0xFFFF ? 8 : 4, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    // MARK: Instances

    /// The value that has `%i` where these, which are of the instances 1, 2 and so on, have the number; and `%%` for
    /// each `%`.
    ///
    /// - Returns: `nil` where they differ in something else.
    static func template(of values: [TOMLValue]) -> TOMLValue? {
        guard let first = values.first else { return nil }
        switch first {
        case .number: return values.allSatisfy { $0 == first } ? first : nil
        case .text:
            let texts = values.compactMap { if case .text(let text) = $0 { text } else { nil } }
            return texts.count == values.count ? template(of: texts).map { .text($0) } : nil
        case .texts(let words):
            let all = values.compactMap { if case .texts(let words) = $0 { words } else { nil } }
            guard all.count == values.count, all.allSatisfy({ $0.count == words.count }) else { return nil }
            let templates = words.indices.compactMap { index in template(of: all.map { $0[index] }) }
            return templates.count == words.count ? .texts(templates) : nil
        case .table(let entries):
            let all = values.compactMap { if case .table(let entries) = $0 { entries } else { nil } }
            guard all.count == values.count, all.allSatisfy({ $0.map(\.key) == entries.map(\.key) }) else { return nil }
            let templates = entries.indices.compactMap { index in template(of: all.map { $0[index].value }) }
            guard templates.count == entries.count else { return nil }
            return .table(zip(entries, templates).map { Entry(key: $0.key, value: $1) })
        }
    }

    private static func template(of texts: [String]) -> String? {
        guard let first = texts.first else { return nil }
        var template = ""
        if texts.count == 1 {
            template = first.replacing("%", with: "%%")
        } else {
            // The numbers 1 and 2 have one digit each, so that they stand at the same place in the first two texts.
            let pair = (Array(first.unicodeScalars), Array(texts[1].unicodeScalars))
            guard pair.0.count == pair.1.count else { return nil }
            for (a, b) in zip(pair.0, pair.1) {
                switch (a, b) {
                case ("1", "2"): template += "%i"
                case ("%", "%"): template += "%%"
                case _ where a == b: template.unicodeScalars.append(a)
                default: return nil
                }
            }
        }
        // What the first two have in common, all others must have, too.
        for (index, text) in texts.enumerated() {
            let parts = template.replacing("%%", with: "%\u{0}").replacing("%i", with: "\(index + 1)")
            guard parts.replacing("%\u{0}", with: "%") == text else { return nil }
        }
        return template
    }
}
