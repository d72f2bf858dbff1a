public import SandboxValues

/// What a service is called: also the name of its directory, and part of the name of its cgroup.
public struct ServiceName: Sendable, Hashable, CustomStringConvertible {
    /// The name as text.
    public let description: String

    /// The guard knows a cgroup by at most 63 bytes, of which `cgrun-svc-` takes ten.
    private static let longest = 50
    /// What `init` accepts.
    package static let accepted =
        "a name of at most 50 letters, digits, -, _, . and @, which begins with a letter or digit"

    /// - Throws: when the text is no name; the error says what would be.
    public init(_ text: String) throws(LimitSyntaxError) {
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "@"):
                true
            default: false
            }
        }
        guard isPlain, let first = text.first, first.isLetter || first.isNumber, text.utf8.count <= Self.longest else {
            throw LimitSyntaxError(accepted: Self.accepted)
        }
        description = text
    }

    /// Whether this is one of the instances that a `cgrun.toml` makes of a service: `NAME@1`, say.
    package func isInstance(of name: ServiceName) -> Bool {
        description.hasPrefix(name.description + "@")
            && description.utf8.dropFirst(name.description.utf8.count + 1).allSatisfy { (0x30...0x39).contains($0) }
    }
}
