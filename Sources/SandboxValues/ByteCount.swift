/// An amount of memory in bytes.
public struct ByteCount: Equatable, Comparable, Sendable, CustomStringConvertible {
    /// The number of bytes.
    public var bytes: UInt64

    /// This many bytes.
    public init(_ bytes: UInt64) { self.bytes = bytes }

    public static func < (a: ByteCount, b: ByteCount) -> Bool { a.bytes < b.bytes }

    /// `64.0 MiB`, `512 B`.
    public var description: String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        guard bytes >= 1024 else { return "\(bytes) B" }
        // Each unit is worth ten bits more than the one before.
        let unit = (UInt64.bitWidth - 1 - bytes.leadingZeroBitCount) / 10
        let tenths = (bytes >> (10 * unit - 10)) * 10 / 1024
        return "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }
}
