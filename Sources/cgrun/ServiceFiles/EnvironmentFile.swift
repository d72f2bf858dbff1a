internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// A file of environment variables, a line each, as `EnvironmentFile=` of systemd and `--env-file` of Docker have it.
enum EnvironmentFile {
    /// What is wrong with a line.
    struct Mistake: Error {
        var line: Int
    }

    static let accepted = "NAME=VALUE, with quotes around the value or without, or a comment that begins with #"

    /// - Parameter text: lines `NAME=VALUE`; those that are empty or begin with `#` or `;` mean nothing.
    static func assignments(_ text: String) throws(Mistake) -> [String] {
        var result: [String] = []
        for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = trim(line)
            guard let first = line.first, first != "#", first != ";" else { continue }
            guard let equals = line.firstIndex(of: "=") else { throw Mistake(line: number + 1) }
            let name = trim(line[..<equals])
            var value = trim(line[line.index(after: equals)...])
            guard !name.isEmpty, !name.contains(where: \.isWhitespace) else { throw Mistake(line: number + 1) }
            if value.count >= 2, let quote = value.first, "'\"".contains(quote), value.last == quote {
                value = value.dropFirst().dropLast()
            }
            result.append("\(name)=\(value)")
        }
        return result
    }

    private static func trim(_ text: Substring) -> Substring {
        var text = text
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}
