public import SandboxValues

/// A variable for the environment of a service.
public struct EnvironmentVariable: Equatable, Sendable {
    public var name: ByteString
    public var value: ByteString

    public init(_ name: ByteString, _ value: ByteString) {
        self.name = name
        self.value = value
    }

    /// Reads `NAME=VALUE`; `nil` without a name or a `=`.
    public init?(assignment: ByteString) {
        guard let equals = assignment.bytes.firstIndex(of: UInt8(ascii: "=")), equals > 0,
            let name = ByteString(assignment.bytes[..<equals]),
            let value = ByteString(assignment.bytes[(equals + 1)...])
        else { return nil }
        self.init(name, value)
    }

    /// Whether `Environment=` takes it: systemd wants names as shells know them, and text for values.
    var isPlain: Bool {
        let isName = name.bytes.enumerated().allSatisfy { index, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"): index > 0
            default: false
            }
        }
        return isName && Quoting.isText(value.bytes)
    }

    var assignment: ByteString { ByteString(name.bytes + [UInt8(ascii: "=")] + value.bytes) ?? name }

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
