internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// A file of environment variables, a line each, as `EnvironmentFile=` of systemd and `--env-file` of Docker have it.
enum EnvironmentFile {
    /// What is wrong with a line.
    struct Mistake: Error {
        var line: Int
    }

    struct Entry {
        var line: Int
        var name: String
        var value: String
        /// What was around the value.
        var quote: Character?
    }

    static let accepted = "NAME=VALUE, with quotes around the value or without, or a comment that begins with #"

    /// - Parameter text: lines `NAME=VALUE`; those that are empty or begin with `#` or `;` mean nothing.
    static func entries(_ text: String) throws(Mistake) -> [Entry] {
        var result: [Entry] = []
        for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = line.trimmed
            guard let first = line.first, first != "#", first != ";" else { continue }
            guard let equals = line.firstIndex(of: "=") else { throw Mistake(line: number + 1) }
            let name = line[..<equals].trimmed
            var value = line[line.index(after: equals)...].trimmed
            guard !name.isEmpty, !name.contains(where: \.isWhitespace) else { throw Mistake(line: number + 1) }
            var quote: Character?
            if value.count >= 2, let first = value.first, "'\"".contains(first), value.last == first {
                value = value.dropFirst().dropLast()
                quote = first
            }
            result.append(Entry(line: number + 1, name: String(name), value: String(value), quote: quote))
        }
        return result
    }

    /// The same as `NAME=VALUE`, without the quotes.
    static func assignments(_ text: String) throws(Mistake) -> [String] {
        try entries(text).map { "\($0.name)=\($0.value)" }
    }
}

extension Substring {
    /// The text without the blanks around it.
    var trimmed: Substring {
        var text = drop { $0.isWhitespace }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}
