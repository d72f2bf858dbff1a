internal import SystemPackage

/// Why something that was asked of a service manager did not happen.
package struct BusError: Error, Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// libsystemd is not on this machine.
        case noLibrary
        /// Nobody answers at the address, or this process may not ask there.
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

    package var kind: Kind
    /// What was asked: a method's name, or `connect`.
    package var operation: String
    /// The socket, or the unit.
    package var path: String?
    /// What the manager, the library or the kernel said.
    package var message: String

    package init(_ kind: Kind, _ operation: String, path: String? = nil, _ message: String) {
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
    package var description: String {
        let name = if case .refused(let name) = kind { "\(name): " } else { "" }
        return "\(operation)\(path.map { " \($0)" } ?? ""): \(name)\(message)"
    }
}
