internal import CgroupSandbox
internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdBus
internal import SystemdUnits

/// A command line that cannot be carried out: one line that names the option, the value and what would be accepted.
struct UsageError: Error, Equatable, CustomStringConvertible {
    let message: String
    var description: String { message }

    init(_ message: String) { self.message = message }
}

/// What one `cgrun run` is to do.
struct RunRequest {
    var spec: LaunchSpec
    var reportFile: String?
    var reportDescriptor: Int32?
    var isQuiet = false
    var isVerbose = false
    var isDryRun = false
    var wantsTerminal = false
    /// Whether the job must not start where the loss of this process's parent would go unnoticed.
    var insistsOnParent = false
    private var user: String?
    private var group: String?

    /// - Parameter arguments: what follows `cgrun` or `cgrun run`.
    /// - Throws: `UnknownOption` for a name that is not in the grammar, `UsageError` for everything else.
    init(parsing arguments: ArraySlice<ByteString>) throws {
        spec = LaunchSpec(JobSpec([]))
        var rest = arguments
        while let argument = rest.first, argument.bytes.first == UInt8(ascii: "-"), argument.bytes.count > 1 {
            rest.removeFirst()
            if argument == "--" { break }
            try take(argument, &rest)
        }
        spec.job.arguments = Array(rest)
        guard let command = spec.job.arguments.first, !command.bytes.isEmpty else {
            throw UsageError("no command given; expected cgrun [options] [--] command [argument…]")
        }
        try resolveCredentials()
    }

    struct UnknownOption: Error {
        var name: String
    }

    private mutating func take(_ argument: ByteString, _ rest: inout ArraySlice<ByteString>) throws {
        let equals = argument.bytes.firstIndex(of: UInt8(ascii: "="))
        if argument.bytes.starts(with: "--".utf8) {
            let name = String(decoding: argument.bytes[2..<(equals ?? argument.bytes.endIndex)], as: UTF8.self)
            guard let option = RunOption.named(name) else { throw UnknownOption(name: "--" + name) }
            if let equals {
                guard option.valueName != nil else {
                    throw UsageError("--\(name) takes no value, but got \(argument)")
                }
                try set(option, ByteString(argument.bytes[(equals + 1)...])!)
            } else {
                try set(option, option.valueName == nil ? nil : try Self.value(of: "--" + name, option, &rest))
            }
            return
        }
        // Options with one letter: -q -v, -qv, -C DIR, -CDIR.
        var letters = argument.bytes.dropFirst()
        while let letter = letters.popFirst() {
            let name = "-\(Character(Unicode.Scalar(letter)))"
            guard let option = RunOption.abbreviated(Character(Unicode.Scalar(letter))) else {
                throw UnknownOption(name: name)
            }
            if option.valueName == nil {
                try set(option, nil)
            } else {
                try set(option, letters.isEmpty ? try Self.value(of: name, option, &rest) : ByteString(letters)!)
                return
            }
        }
    }

    private static func value(
        of name: String, _ option: RunOption, _ rest: inout ArraySlice<ByteString>
    ) throws(UsageError) -> ByteString {
        guard let value = rest.popFirst(), value != "--" else {
            throw UsageError("\(name) needs a value: <\(option.valueName ?? "")>")
        }
        return value
    }

    // MARK: Meaning

    private mutating func set(_ option: RunOption, _ value: ByteString?) throws {
        do {
            let text = value?.description ?? ""
            switch option {
            case .limit(let kind): try kind.parse(text, &spec.job.limits)
            case .setting(let setting): try apply(setting, value ?? "", text: text)
            }
        } catch let error as LimitSyntaxError {
            throw UsageError("--\(option.name) \(value ?? ""): expected \(error.accepted)")
        }
    }

    private mutating func apply(_ setting: RunSetting, _ value: ByteString, text: String) throws {
        switch setting {
        case .timeout: spec.job.timeout = try Duration(parsingLimit: text)
        case .cpuTime: spec.job.cpuTimeout = try Duration(parsingLimit: text)
        case .stopSignal: spec.job.stopSignal = try Signal(parsingOption: text)
        case .killAfter: spec.job.grace = try Duration(parsingLimit: text, zeroAllowed: true)
        case .killMode: spec.job.killMode = try Self.choice(text)
        case .strays: spec.job.strays = try Self.choice(text)
        case .waitAll: spec.job.waitsForAll = true
        case .dieWithParent: (spec.diesWithParent, insistsOnParent) = (true, true)
        case .noDieWithParent: (spec.diesWithParent, insistsOnParent) = (false, false)
        case .cgroupManager: spec.manager = try Self.choice(text)
        case .cgroupParent:
            guard !text.isEmpty, !text.split(separator: "/").contains("..") else {
                throw LimitSyntaxError(accepted: "a cgroup as in /proc/PID/cgroup, such as /my.slice")
            }
            spec.job.cgroupParent = text
        case .user: spec.unit.domain = .user
        case .system: spec.unit.domain = .system
        case .slice: spec.unit.slice = try Self.unitName(text, .slice).description
        case .unit: spec.unit.name = try Self.unitName(text, .scope).stem
        case .description:
            guard !text.isEmpty, UnitProperty.line(text) == text else {
                throw LimitSyntaxError(accepted: UnitProperty.acceptedText)
            }
            spec.unit.description = text
        case .property:
            do { spec.unit.properties.append(try UnitProperty(assignment: text)) } catch {
                throw LimitSyntaxError(accepted: error.accepted)
            }
        case .report:
            guard !text.isEmpty else { throw LimitSyntaxError(accepted: "a file") }
            reportFile = text
        case .reportFD:
            guard let descriptor = Int32(text), descriptor >= 0, !text.hasPrefix("+"), isOpen(descriptor) else {
                throw LimitSyntaxError(accepted: "the number of an open descriptor")
            }
            reportDescriptor = descriptor
        case .setenv: try setEnvironment(value)
        case .workingDirectory:
            guard !text.isEmpty else { throw LimitSyntaxError(accepted: "a directory") }
            spec.job.workingDirectory = value
        case .uid: user = text
        case .gid: group = text
        case .closeFDs: spec.closesDescriptors = true
        case .pty: wantsTerminal = true
        case .failOnOOM: spec.job.failsOnOOM = true
        case .quiet: isQuiet = true
        case .verbose: isVerbose = true
        case .dryRun: isDryRun = true
        }
    }

    static func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ text: String
    ) throws(LimitSyntaxError) -> Choice {
        guard let choice = Choice(rawValue: text) else {
            let words = Choice.allCases.map(\.rawValue)
            throw LimitSyntaxError(accepted: "\(words.dropLast().joined(separator: ", ")) or \(words.last ?? "")")
        }
        return choice
    }

    private static func unitName(_ text: String, _ kind: UnitKind) throws(LimitSyntaxError) -> UnitName {
        do { return try UnitName(text, kind) } catch { throw LimitSyntaxError(accepted: error.accepted) }
    }

    private mutating func setEnvironment(_ assignment: ByteString) throws(LimitSyntaxError) {
        guard let first = assignment.bytes.first, first != UInt8(ascii: "=") else {
            throw LimitSyntaxError(accepted: "NAME=VALUE, or NAME to keep the caller's value")
        }
        // For a name alone there is nothing to do: the command inherits the variable like all others.
        if assignment.bytes.contains(UInt8(ascii: "=")) { spec.job.setEnvironment(assignment) }
    }

    private mutating func resolveCredentials() throws(UsageError) {
        guard user != nil || group != nil else { return }
        do { spec.job.credentials = try UserDatabase.credentials(user: user, group: group) } catch {
            switch error {
            case .unknownUser(let name): throw UsageError("--uid \(name): expected a user's name or number")
            case .unknownGroup(let name): throw UsageError("--gid \(name): expected a group's name or number")
            case .groupNeeded(let uid):
                throw UsageError("--uid \(uid): no such user in the user database; expected --gid, too")
            }
        }
    }
}

extension Signal {
    init(parsingOption text: String) throws(LimitSyntaxError) {
        guard let signal = Signal(name: text) else {
            throw LimitSyntaxError(accepted: "a signal such as TERM, SIGINT, 15 or RTMIN+2")
        }
        self = signal
    }
}
