internal import SystemPackage

/// Why something that was asked of a service manager did not happen.
public struct BusError: Error, Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
        /// libsystemd is not on this machine.
        case noLibrary
        /// Nobody answers at the address, or nobody may ask.
        case unreachable
        /// No answer in time; what was asked may still happen.
        case timedOut
        /// A signal to this process ended the wait.
        case interrupted
        /// The manager's answer was an error, with this D-Bus name.
        case refused(name: String)
        /// A job that the manager had accepted did not end well.
        case jobFailed
        /// The answer is not what the interface promises.
        case malformed
    }

    public var kind: Kind
    /// What was asked: a method's name, or `connect`.
    public var operation: String
    /// The socket, or the unit.
    public var path: String?
    /// The manager's own words.
    public var message: String

    public init(_ kind: Kind, _ operation: String, path: String? = nil, _ message: String) {
        self.kind = kind
        self.operation = operation
        self.path = path
        self.message = message
    }

    /// - Parameter result: a negative errno, as libsystemd returns it.
    init(_ kind: Kind, _ operation: String, path: String? = nil, result: CInt) {
        self.init(kind, operation, path: path, Errno(rawValue: -result).description)
    }
}

extension BusError: CustomStringConvertible {
    public var description: String {
        let name = if case .refused(let name) = kind { "\(name): " } else { "" }
        return "\(operation)\(path.map { " \($0)" } ?? ""): \(name)\(message)"
    }
}
