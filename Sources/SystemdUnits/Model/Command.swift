public import SandboxValues

/// A program and its arguments, for `ExecStart=` (systemd.service(5)).
///
/// The program gets every argument byte for byte: neither systemd nor a shell expands `%` or `$` in it. No argument
/// may be longer than 131,071 bytes, the kernel's limit.
public struct Command: Equatable, Sendable {
    /// The program's absolute path, in UTF-8. Refused in it are quotes, backslashes, control characters and a slash
    /// at the end, which systemd does not take even escaped, and 4,096 bytes or more.
    public var path: ByteString
    /// What the program gets as its own name (`argv[0]`) in place of its path; `nil` for the path.
    public var name: ByteString?
    /// What follows the program's name on its command line.
    public var arguments: [ByteString]

    /// A command; a `name` that is the path is the same as none. Nothing is refused before the file is made.
    public init(path: ByteString, name: ByteString? = nil, arguments: [ByteString] = []) {
        self.path = path
        self.name = name == path ? nil : name
        self.arguments = arguments
    }

    /// The value of `ExecStart=`, such as `:/bin/echo "%%" "a b"`. The `:` has systemd keep `$` as it is; an `@`
    /// follows where the program gets another name than its path.
    ///
    /// - Throws: for a path that systemd would refuse however it is quoted, and for an argument or name longer than
    ///   131,071 bytes.
    package func text() throws(UnitError) -> String {
        let key = UnitKey.execStart.name
        let path = try Self.checkPath(path, key: key)
        for argument in arguments + [name].compactMap({ $0 }) where argument.bytes.count > Quoting.longestString {
            throw UnitError(
                key: key, value: argument.description,
                accepted: "arguments of at most \(Quoting.longestString) bytes, the kernel's limit")
        }
        let first = ":" + (name == nil ? "" : "@") + path
        // systemd first unquotes the word and then takes `:` and `@` off, so quotes go around them and the path.
        let isBare = !path.utf8.contains(UInt8(ascii: " "))
        let words = ([name].compactMap { $0 } + arguments).map { Quoting.word($0) }
        return ([isBare ? Quoting.doublingPercent(first) : Quoting.word(first)] + words).joined(separator: " ")
    }

    /// The absolute path without `.`, `//` and `..`, which systemd does not take.
    package static func normalized(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// The path as text.
    ///
    /// - Throws: for a path with quotes, backslashes or control characters, which systemd does not take even escaped.
    private static func checkPath(_ path: ByteString, key: String) throws(UnitError) -> String {
        guard let text = String(validating: path.bytes, as: UTF8.self), text.hasPrefix("/"), !text.hasSuffix("/"),
            text.unicodeScalars.allSatisfy({ !$0.isUnprintable && !#"'"\"#.unicodeScalars.contains($0) }),
            text.utf8.count < 4096
        else {
            throw UnitError(
                key: key, value: path.description,
                accepted: "an executable with an absolute path in UTF-8 without quotes, backslashes and control "
                    + "characters, which systemd refuses there even escaped; a symbolic link can give it such a path")
        }
        return text
    }
}

extension UnitFile.Section {
    /// Adds `Environment=` and `ExecStart=`. Variables that `Environment=` cannot hold are given to env(1), which
    /// then runs the command.
    ///
    /// - Throws: for a command or variable that cannot be written, and for one that env(1) would misread.
    mutating func set(_ command: Command, environment: [EnvironmentVariable]) throws(UnitError) {
        for variable in environment { try variable.check() }
        for variable in environment where variable.isPlain {
            set(.environment, Quoting.word(variable.assignment))
        }
        let others = environment.filter { !$0.isPlain }
        guard !others.isEmpty else {
            set(.execStart, try command.text())
            return
        }
        // env(1) would take a program with = in its path for a variable, and cannot give a program another name.
        guard command.name == nil, !command.path.bytes.contains(UInt8(ascii: "=")) else {
            throw UnitError(
                key: "Environment", value: others[0].assignment.description,
                accepted:
                    "a name of letters, digits and _ with a value in UTF-8, for a program that is called by its path")
        }
        // The path is an argument below, where nothing else checks it.
        _ = try command.text()
        let wrapped = Command(
            path: "/usr/bin/env", arguments: ["--"] + others.map(\.assignment) + [command.path] + command.arguments)
        set(
            .execStart, try wrapped.text(),
            comment: "Through env(1), because Environment= takes only names like A_1 and values in UTF-8.")
    }
}
