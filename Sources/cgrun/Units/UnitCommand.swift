internal import ArgumentParser
internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdUnits

// `cgrun unit …` makes models of units from options. The library checks the values, and its errors name keys; here they
// get the names of the options that set them.

struct UnitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unit",
        abstract: "Write systemd units with the same limits, quoting and whole-tree ending.",
        usage: "cgrun unit service|slice|scope|socket|timer|from-supervisor|from-services …",
        discussion: """
            Prints the unit, or writes it with --install or --user-install, in one step and never over a file that \
            cgrun did not write unless --force is given.

            Example: cgrun unit service api --user www --mem 2G --harden standard -- /usr/bin/uvicorn app:main
            """,
        subcommands: [
            UnitServiceCommand.self, UnitSliceCommand.self, UnitScopeCommand.self, UnitSocketCommand.self,
            UnitTimerCommand.self, UnitFromSupervisorCommand.self,
            UnitFromServicesCommand.self,
        ])
}

/// Where units go.
struct UnitOutputOptions: ParsableArguments {
    @Option(
        help: "Write into this unit directory, such as /etc/systemd/system, instead of to stdout.",
        completion: .directory)
    var install: String?
    @Flag(help: "Write into your own unit directory, for `systemctl --user`.")
    var userInstall = false
    @Flag(help: "With --install or --user-install: have systemd read it, and enable it.")
    var enable = false
    @Flag(help: "Overwrite files that cgrun did not write, and units of the same name from elsewhere.")
    var force = false
    @Flag(help: "Show what would change in the unit directory, and change nothing.")
    var diff = false

    /// Prints or writes the files, and enables `units`.
    func put(_ files: [UnitFile], enabling units: [String]) throws {
        guard install == nil || !userInstall else {
            throw UsageError("--install and --user-install exclude each other")
        }
        guard let directory = userInstall ? try UnitWriter.userDirectory() : install else {
            guard !enable, !diff, !force else {
                throw UsageError(
                    "--\(enable ? "enable" : diff ? "diff" : "force") needs --install DIR or --user-install")
            }
            for (index, file) in files.enumerated() {
                // Headings tell which text belongs to which file.
                if files.count > 1 { print((index == 0 ? "" : "\n") + "# ---- \(file.path)") }
                print(try file.text(), terminator: "")
            }
            return
        }
        let writer = try UnitWriter(
            directory: directory, option: userInstall ? "--user-install" : "--install \(directory)",
            isUser: userInstall, createsDirectory: userInstall, isForced: force)
        try writer.put(try files.map { (path: $0.path, text: try $0.text()) }, isDiff: diff)
        if enable, !diff { try writer.enable(units) }
    }
}

/// Helpers for options of every kind of unit.
enum UnitOptionValues {
    static func value<Value>(
        _ option: String, _ text: String?, _ read: (String) throws(LimitSyntaxError) -> Value
    ) throws(UsageError) -> Value? {
        guard let text else { return nil }
        do { return try read(text) } catch {
            throw UsageError("\(option) \(text): expected \(error.accepted)")
        }
    }

    static func duration(_ option: String, _ text: String?, zeroAllowed: Bool = false) throws(UsageError) -> Duration? {
        try value(option, text) { (text) throws(LimitSyntaxError) in
            try Duration(parsingLimit: text, zeroAllowed: zeroAllowed)
        }
    }

    static func signal(_ option: String, _ text: String?) throws(UsageError) -> Signal? {
        try value(option, text, Signal.init(parsingOption:))
    }

    static func mode(_ option: String, _ text: String?) throws(UsageError) -> UInt16? {
        try value(option, text) { (text) throws(LimitSyntaxError) in
            guard let mode = UInt16(text, radix: 8), mode <= 0o7777, !text.hasPrefix("+") else {
                throw LimitSyntaxError(accepted: "octal digits such as 0660")
            }
            return mode
        }
    }

    /// Runs `body`, and says which option a refused value came from.
    static func named<Result>(_ options: [String: String] = [:], _ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as UnitError {
            guard let option = options[error.key] else { throw UsageError(error.description) }
            throw UsageError("\(option) \(error.shownValue): expected \(error.accepted) (for \(error.key)=)")
        }
    }

    /// Full names from short ones: `--after redis` means redis.service, as with systemctl.
    static func references(_ option: String, _ names: [String]) throws(UsageError) -> [String] {
        var result: [String] = []
        for name in names.flatMap({ $0.split(whereSeparator: { $0 == " " || $0 == "," }) }) {
            let full = name.contains(".") ? String(name) : name + ".service"
            do { result.append(try UnitName.checkReference(full, key: option)) } catch {
                throw UsageError("\(option) \(name): expected \(error.accepted)")
            }
        }
        return result
    }

    static func name(_ text: String, _ kind: UnitKind) throws(UsageError) -> UnitName {
        do { return try UnitName(text, kind) } catch {
            throw UsageError("unit name \(text): expected \(error.accepted)")
        }
    }
}

/// The command line byte for byte; ArgumentParser's strings have lost what is not UTF-8.
enum RawArguments {
    /// The words behind `--`, which are the last of all.
    static func command(_ parsed: [String]) -> [ByteString] {
        Array(ThisProcess.arguments.suffix(parsed.count))
    }

    /// The bytes of the value that was given with `-E` or `--setenv`.
    static func values(short: String, long: String) -> [ByteString] {
        var result: [ByteString] = []
        var rest = ThisProcess.arguments.dropFirst()[...]
        while let word = rest.popFirst(), word != "--" {
            if word == ByteString(short.utf8) || word == ByteString(long.utf8) {
                if let value = rest.popFirst() { result.append(value) }
            } else if word.bytes.starts(with: (long + "=").utf8) {
                result += [ByteString(word.bytes.dropFirst(long.utf8.count + 1))].compactMap { $0 }
            } else if word.bytes.starts(with: short.utf8), !word.bytes.starts(with: "--".utf8) {
                let value = word.bytes.dropFirst(short.utf8.count)
                result += [ByteString(value.first == UInt8(ascii: "=") ? value.dropFirst() : value)].compactMap { $0 }
            }
        }
        return result
    }
}
