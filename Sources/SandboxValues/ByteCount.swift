/// An amount of memory in bytes.
public struct ByteCount: Equatable, Comparable, Sendable, CustomStringConvertible {
    /// The number of bytes.
    public var bytes: UInt64

    /// This many bytes.
    public init(_ bytes: UInt64) { self.bytes = bytes }

    public static func < (a: ByteCount, b: ByteCount) -> Bool { a.bytes < b.bytes }

    /// `64.0 MiB`, `512 B`.
    public var description: String {
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        guard bytes >= 1024 else { return "\(bytes) B" }
        var unit = 0
        var divisor: UInt64 = 1024
        while unit + 1 < units.count, bytes / divisor >= 1024 {
            divisor *= 1024
            unit += 1
        }
        let (whole, rest) = bytes.quotientAndRemainder(dividingBy: divisor)
        return "\(whole).\((rest / (divisor / 1024) * 10) / 1024) \(units[unit])"
    }
}
