/// Text for exec: any bytes but NUL.
public struct ByteString: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// Without the NUL that ends it in C.
    public let bytes: [UInt8]

    /// - Returns: `nil` when there is a NUL among the bytes, which exec could not pass on.
    public init?(_ bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        guard !bytes.contains(0) else { return nil }
        self.bytes = bytes
    }

    /// - Parameter bytes: without a NUL among them, which is not looked for.
    package init(unchecked bytes: [UInt8]) { self.bytes = bytes }

    /// A literal's NUL ends it, as it would in C.
    public init(stringLiteral text: String) {
        bytes = Array(text.utf8.prefix { $0 != 0 })
    }

    /// The text; bytes that are not UTF-8 are shown as U+FFFD.
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}
