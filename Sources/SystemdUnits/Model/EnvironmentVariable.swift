public import SandboxValues

/// A variable in the environment of a service, for `Environment=` (systemd.exec(5)).
///
/// An empty name, a name with a `=`, and a variable of more than 131,071 bytes are refused when the service's file is
/// made. Names that a shell would not take and values that are not UTF-8 are accepted: see `Service.environment`.
public struct EnvironmentVariable: Equatable, Sendable {
    /// What stands before the `=`.
    public var name: ByteString
    /// What stands behind the `=`, byte for byte: systemd expands neither `%` nor `$` in it.
    public var value: ByteString

    /// The variable `name` with this value, neither of them checked.
    public init(_ name: ByteString, _ value: ByteString) {
        self.name = name
        self.value = value
    }

    /// Reads `NAME=VALUE`; the value is all that follows the first `=`. `nil` without a name or without a `=`.
    public init?(assignment: ByteString) {
        guard let equals = assignment.bytes.firstIndex(of: UInt8(ascii: "=")), equals > 0,
            let name = ByteString(assignment.bytes[..<equals]),
            let value = ByteString(assignment.bytes[(equals + 1)...])
        else { return nil }
        self.init(name, value)
    }

    /// Whether `Environment=` takes the variable: systemd wants names as shells know them, and UTF-8 for values.
    package var isPlain: Bool { Check.isName(name.bytes) && Quoting.isText(value.bytes) }

    /// `NAME=VALUE`.
    package var assignment: ByteString { ByteString(name.bytes + [UInt8(ascii: "=")] + value.bytes) ?? name }

    /// Refuses what no environment can hold.
    ///
    /// - Throws: for a name that is empty or has a `=`, and for a variable that the kernel would find too long.
    func check() throws(UnitError) {
        guard !name.bytes.isEmpty, !name.bytes.contains(UInt8(ascii: "=")) else {
            throw UnitError(key: "Environment", value: assignment.description, accepted: "NAME=VALUE")
        }
        guard assignment.bytes.count <= Quoting.longestString else {
            throw UnitError(
                key: "Environment", value: assignment.description,
                accepted: "at most \(Quoting.longestString) bytes, the kernel's limit")
        }
    }
}
