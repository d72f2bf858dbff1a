public import SandboxValues

/// A command for `ExecStart=`.
public struct Command: Equatable, Sendable {
    /// Absolute.
    public var path: ByteString
    /// What the program finds as its own name; `nil` for the path.
    public var name: ByteString?
    /// Without the program's name, byte for byte.
    public var arguments: [ByteString]

    public init(path: ByteString, name: ByteString? = nil, arguments: [ByteString] = []) {
        self.path = path
        self.name = name == path ? nil : name
        self.arguments = arguments
    }

    /// `:/bin/echo "%%" "a b"`: `:` keeps `$` as it is, `@` is there when the program is called by another name.
    ///
    /// - Throws: for a path that systemd would refuse however it is quoted, and for what the kernel would.
    public func text() throws(UnitError) -> String {
        let key = UnitKey.execStart.rawValue
        let path = try Self.checkPath(path, key: key)
        for argument in arguments + [name].compactMap({ $0 }) where argument.bytes.count > Quoting.longestString {
            throw UnitError(
                key: key, value: argument.description,
                accepted: "arguments of at most \(Quoting.longestString) bytes, the kernel's limit")
        }
        let first = ":" + (name == nil ? "" : "@") + path
        // systemd takes the prefix off when it has unquoted the word, so quotes go around both.
        let isBare = !path.utf8.contains(UInt8(ascii: " "))
        let words = ([name].compactMap { $0 } + arguments).map { Quoting.word($0) }
        return ([isBare ? Quoting.doublingPercent(first) : Quoting.word(first)] + words).joined(separator: " ")
    }

    /// systemd takes no quotes, backslashes or control characters in the path of an executable, not
    /// even escaped ones.
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
    /// A command with its environment. What `Environment=` cannot say goes through env(1).
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
        // env would take a program with = in its path for a variable, and cannot call it by another name.
        guard command.name == nil, !command.path.bytes.contains(UInt8(ascii: "=")) else {
            throw UnitError(
                key: "Environment", value: others[0].assignment.description,
                accepted:
                    "a name of letters, digits and _ with a value in UTF-8, for a program that is called by its path")
        }
        _ = try command.text()
        let wrapped = Command(
            path: "/usr/bin/env", arguments: ["--"] + others.map(\.assignment) + [command.path] + command.arguments)
        set(
            .execStart, try wrapped.text(),
            comment: "Through env(1), because Environment= takes only names like A_1 and values in UTF-8.")
    }
}
