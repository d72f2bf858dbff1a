internal import SandboxValues

/// The lines of a Procfile, as foreman, honcho and overmind read them.
struct Procfile {
    struct Process {
        var name: String
        /// For a shell.
        var command: String
        var line: Int
    }

    let processes: [Process]

    /// A line's name and command; `nil` where it has none.
    private static func parts(_ line: Substring) -> (name: String, command: String)? {
        guard let colon = line.firstIndex(of: ":") else { return nil }
        let name = line[..<colon].trimmed
        let command = line[line.index(after: colon)...].trimmed
        guard !name.isEmpty, !command.isEmpty,
            name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == "-") })
        else { return nil }
        return (String(name), String(command))
    }

    /// Lines that say something, with their numbers.
    private static func lines(_ text: String) -> [(number: Int, text: Substring)] {
        text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated()
            .map { ($0 + 1, $1.trimmed) }.filter { !$0.1.isEmpty && !$0.1.hasPrefix("#") }
    }

    /// Whether the text is a Procfile, whatever it is called. Other files have colons, too, but hardly such ones.
    static func isLike(_ text: String) -> Bool {
        let lines = lines(text)
        return !lines.isEmpty && lines.allSatisfy { parts($0.text) != nil && $0.text.contains(": ") }
    }

    init(_ text: String, path: String) throws(UsageError) {
        var processes: [Process] = []
        for (number, line) in Self.lines(text) {
            guard let (name, command) = Self.parts(line) else {
                throw UsageError(
                    "\(path.asName):\(number): \(line.inOneLine): expected NAME: COMMAND, or a comment with #")
            }
            if let first = processes.first(where: { $0.name == name }) {
                throw UsageError(
                    "\(path.asName):\(number): \(name): line \(first.line) has this name; expected another")
            }
            processes.append(Process(name: name, command: command, line: number))
        }
        guard !processes.isEmpty else {
            throw UsageError("\(path.asName): there is no process in it; expected lines NAME: COMMAND")
        }
        self.processes = processes
    }
}

/// A command that was written for a shell, as an array for exec.
enum ShellCommand {
    /// Words that only a shell knows.
    private static let builtins: Set<Substring> = [
        ".", ":", "!", "{", "[[", "alias", "bg", "builtin", "case", "cd", "command", "continue", "declare", "eval",
        "exec", "exit", "export", "fg", "for", "function", "getopts", "hash", "if", "jobs", "let", "local", "pushd",
        "popd", "read", "readonly", "return", "select", "set", "shift", "shopt", "source", "time", "times", "trap",
        "type", "typeset", "ulimit", "umask", "unalias", "unset", "until", "wait", "while",
    ]

    /// The words of the command itself where a shell would do nothing but split them; else those of a shell with it.
    ///
    /// - Throws: where a quote is not closed.
    static func words(_ command: String) throws(LimitSyntaxError) -> [String] {
        var command = command
        // The shell in the middle, which this is for, is gone.
        if command.hasPrefix("exec "), !command.dropFirst(5).hasPrefix("-"), needsNoShell(command.dropFirst(5)) {
            command.removeFirst(5)
        }
        if needsNoShell(command[...]) { return try CommandWords.split(command) }
        return ["sh", "-c", replacingShell(command)]
    }

    private static func needsNoShell(_ command: Substring) -> Bool {
        guard !command.contains(where: { "$`|&;<>()*?[]#~{}\n".contains($0) }) else { return false }
        let first = command.split(whereSeparator: \.isWhitespace).first ?? ""
        return !first.isEmpty && !first.contains("=") && !builtins.contains(first)
    }

    /// The text for the shell. One simple command takes the place of the shell, by `exec`: then it is the main process,
    /// which gets the signals, and whose status counts.
    private static func replacingShell(_ command: String) -> String {
        guard isSimple(command), let start = startOfCommand(command) else { return command }
        return command[..<start] + "exec " + command[start...]
    }

    /// Whether there is nothing outside of quotes by which a shell joins commands.
    private static func isSimple(_ command: String) -> Bool {
        var quote: Character?
        var before: Character = " "
        var rest = command[...]
        while let character = rest.popFirst() {
            switch (quote, character) {
            case ("'", "'"), ("\"", "\""): quote = nil
            case ("'", _): break
            case (_, "\\"): _ = rest.popFirst()
            case (nil, "'"), (nil, "\""): quote = character
            case (nil, "|"), (nil, ";"), (nil, "("), (nil, ")"), (nil, "`"), (nil, "\n"): return false
            // That of 2>&1 joins nothing.
            case (nil, "&") where before != ">" && before != "<": return false
            default: break
            }
            before = character
        }
        return true
    }

    /// Where the command begins, after variables that are set for it; `nil` where `exec` cannot stand there.
    private static func startOfCommand(_ command: String) -> String.Index? {
        var start = command.startIndex
        while true {
            let rest = command[start...]
            let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
            guard !name.isEmpty, rest[name.endIndex...].hasPrefix("=") else { break }
            guard let end = endOfWord(command, from: start) else { return nil }
            start = command[end...].firstIndex { $0 != " " && $0 != "\t" } ?? command.endIndex
        }
        let first = command[start...].prefix { $0 != " " && $0 != "\t" }
        guard let letter = first.first, !builtins.contains(first), !"<>#{0123456789".contains(letter) else {
            return nil
        }
        return start
    }

    /// - Returns: `nil` where the word has more in it than quotes.
    private static func endOfWord(_ text: String, from start: String.Index) -> String.Index? {
        var quote: Character?
        for index in text[start...].indices {
            switch (quote, text[index]) {
            case (nil, " "), (nil, "\t"): return index
            case (nil, "'"), (nil, "\""): quote = text[index]
            case (let open?, let character) where open == character: quote = nil
            case (_, "{"), (_, "\\"): return nil
            default: break
            }
        }
        return quote == nil ? text.endIndex : nil
    }
}
