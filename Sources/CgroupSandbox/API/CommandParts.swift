internal import LinuxSystem
internal import SandboxValues

/// Which program to run.
public struct Executable: Sendable, Hashable {
    let text: ByteStringSource

    /// A program that is looked up in the job's `PATH`, unless there is a `/` in its name.
    public static func name(_ name: String) -> Executable { Executable(text: .string(name)) }
    /// The program in this file.
    public static func path(_ path: String) -> Executable {
        // A path without `/` would be looked up in `PATH`.
        Executable(text: .string(path.contains("/") ? path : "./" + path))
    }
}

/// A program's arguments, without its name.
public struct Arguments: Sendable, Hashable, ExpressibleByArrayLiteral {
    let elements: [ByteStringSource]

    /// These words, in UTF-8.
    public init(_ arguments: [String]) { elements = arguments.map { .string($0) } }
    /// Arguments of any bytes but NUL.
    public init(bytes arguments: [[UInt8]]) { elements = arguments.map { .bytes($0) } }
    public init(arrayLiteral arguments: String...) { self.init(arguments) }
}

/// A program's environment.
public struct Environment: Sendable, Hashable {
    private var base: Base
    private var updates: [String: String?]

    private enum Base: Hashable {
        case inherited
        case empty
    }

    /// This program's environment.
    public static let inherit = Environment(base: .inherited, updates: [:])

    /// These variables and no others.
    public static func custom(_ variables: [String: String]) -> Environment {
        Environment(base: .empty, updates: variables.mapValues { $0 })
    }

    /// This environment with some variables changed; the value `nil` removes a variable.
    public func updating(_ variables: [String: String?]) -> Environment {
        Environment(base: base, updates: updates.merging(variables) { _, new in new })
    }

    func assignments() throws(LaunchError) -> [ByteString] {
        var result: [ByteString] = []
        if base == .inherited {
            let names = updates.keys.map { Array($0.utf8) + [UInt8(ascii: "=")] }
            result = ThisProcess.environment.filter { entry in !names.contains { entry.bytes.starts(with: $0) } }
        }
        for (name, value) in updates.sorted(by: { $0.key < $1.key }) {
            guard !name.isEmpty, !name.contains("=") else {
                throw LaunchError(.invalid, "\"\(name)\" cannot be the name of an environment variable")
            }
            guard let value else { continue }
            guard let assignment = ByteString("\(name)=\(value)".utf8) else {
                throw LaunchError(.invalid, "the environment variable \(name) holds a NUL byte")
            }
            result.append(assignment)
        }
        return result
    }
}

/// Text or bytes that nobody has checked for NUL yet.
enum ByteStringSource: Sendable, Hashable {
    case string(String)
    case bytes([UInt8])

    func byteString(_ what: @autoclosure () -> String) throws(LaunchError) -> ByteString {
        let text =
            switch self {
            case .string(let string): ByteString(string.utf8)
            case .bytes(let bytes): ByteString(bytes)
            }
        guard let text else { throw LaunchError(.invalid, "\(what()) holds a NUL byte") }
        return text
    }
}

extension JobSpec {
    /// - Throws: `invalid` for NUL bytes, which no program can be given, and for names that no variable can have.
    public init(
        _ executable: Executable, arguments: Arguments = [], environment: Environment = .inherit
    ) throws(LaunchError) {
        var words = [try executable.text.byteString("the command")]
        for (index, argument) in arguments.elements.enumerated() {
            words.append(try argument.byteString("argument \(index + 1)"))
        }
        self.init(words)
        self.environment = try environment.assignments()
    }
}
