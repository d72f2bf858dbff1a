package import CgroupSandbox
package import SandboxValues

/// What is tried: a command, and how the suite knows its states.
package struct StressPlan {
    /// The command and its arguments, byte for byte.
    package var command: [ByteString]
    /// When the command counts as ready; `nil`: at once.
    package var readiness: Readiness?
    /// A shell command that gives the command work once it is ready.
    package var work: String?
    /// By which command line a process shows that the work has begun.
    package var busy: CommandPattern?
    /// Which processes are workers.
    package var worker: CommandPattern?
    /// How often the command is started and stopped in `Trial.cycles`.
    package var cycles = 12
    package var trials = Trial.allCases
    package var sides = StressSide.allCases
    /// How long the command may take to end after a stop signal.
    package var grace = Duration.seconds(5)
    /// How long it may take to become ready, to begin to work, or to end by itself.
    package var patience = Duration.seconds(10)
    /// The program of cgrun, for the other side.
    package var cgrun: String
    /// A directory of the suite's own, which its caller removes.
    package var directory: String
    /// Reads the report of a job; `nil` where there is none.
    package var readReport: (String) -> Report?
    /// Removes a directory with all that is in it.
    package var removeDirectory: (String) -> Void

    package init(
        command: [ByteString], cgrun: String, directory: String, readReport: @escaping (String) -> Report?,
        removeDirectory: @escaping (String) -> Void
    ) {
        self.command = command
        self.cgrun = cgrun
        self.directory = directory
        self.readReport = readReport
        self.removeDirectory = removeDirectory
    }

    package enum Readiness: Equatable, Sendable {
        /// A TCP port of this machine accepts connections.
        case port(UInt16)
        /// A line of the command's output has this text.
        case line(String)

        package static let accepted = "a port from 1 to 65535, or a text that a line of the output has"

        package init(parsing text: String) throws(LimitSyntaxError) {
            guard !text.isEmpty else { throw LimitSyntaxError(accepted: Self.accepted) }
            guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
                self = .line(text)
                return
            }
            guard let port = UInt16(text), port > 0 else { throw LimitSyntaxError(accepted: Self.accepted) }
            self = .port(port)
        }

        /// What the command is to do.
        var infinitive: String {
            switch self {
            case .port(let port): "accept connections at port \(port)"
            case .line(let text): "write a line with \(text.asName)"
            }
        }
    }
}

/// How the command is run.
package enum StressSide: String, Sendable, CaseIterable, Codable, CodingKeyRepresentable {
    /// As a shell or a worker would.
    case bare
    /// `cgrun -- command`.
    case cgrun

    var name: String { self == .bare ? "bare" : "under cgrun" }
}

/// A regular expression for command lines, as pgrep -f has it.
package struct CommandPattern {
    package let text: String
    private let expression: Regex<AnyRegexOutput>

    package static let accepted = "a regular expression for the command lines of processes"

    package init(_ text: String) throws(LimitSyntaxError) {
        guard !text.isEmpty, let expression = try? Regex(text) else { throw LimitSyntaxError(accepted: Self.accepted) }
        self.text = text
        self.expression = expression
    }

    func matches(_ commandLine: String) -> Bool { (try? expression.firstMatch(in: commandLine)) != nil }
}
