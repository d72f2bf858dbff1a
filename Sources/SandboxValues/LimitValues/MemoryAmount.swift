/// An amount of memory: so many bytes, or a share of a machine's RAM.
///
/// A share means nothing until somebody says of which machine. So it stays a share until a job is launched, or a unit
/// is written for systemd, which reads shares itself.
public enum MemoryAmount: Equatable, Sendable {
    /// The same number of bytes on every machine.
    case bytes(UInt64)
    /// A share of the RAM of the machine where the job is launched.
    case share(MemoryShare)

    package static let accepted =
        "bytes, a number with K, M, G or T (or KiB, MiB, GiB, TiB; powers of 1024), a percentage of RAM, or max"

    package static let acceptedRange = "at most 8388607T: \(accepted)"

    /// The kernel keeps memory limits as signed 64-bit numbers.
    private static let largest = UInt64(Int64.max)

    /// Reads `4096`, `512M`, `1.5G`, `2GiB`, `50%`.
    ///
    /// - Throws: for everything else, such as `1MB`, `-1`, `2 G`, `1e3` and `101%`.
    public init(parsing text: String) throws(LimitSyntaxError) {
        let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let factor: UInt64
        switch text.dropFirst(number.count) {
        case "": factor = 1
        case "K", "KiB": factor = 1 << 10
        case "M", "MiB": factor = 1 << 20
        case "G", "GiB": factor = 1 << 30
        case "T", "TiB": factor = 1 << 40
        case "%":
            self = .share(try MemoryShare(parsing: number))
            return
        default: throw LimitSyntaxError(accepted: Self.accepted)
        }
        guard let decimal = Decimal(number), factor > 1 || decimal.isWhole else {
            throw LimitSyntaxError(accepted: Self.accepted)
        }
        guard let bytes = decimal.multiplied(by: factor), bytes <= Self.largest else {
            throw LimitSyntaxError(accepted: Self.acceptedRange)
        }
        self = .bytes(bytes)
    }

    /// The amount where it is the same on every machine; `nil` for a share.
    public var bytes: UInt64? {
        if case .bytes(let bytes) = self { bytes } else { nil }
    }

    /// The amount in bytes on one machine, rounded down.
    ///
    /// - Parameter total: the RAM of the machine in question.
    public func bytes(of total: ByteCount) -> UInt64 {
        switch self {
        case .bytes(let bytes): bytes
        case .share(let share): share.bytes(of: total)
        }
    }

    /// Whether the amount is 0 on every machine.
    var isZero: Bool {
        switch self {
        case .bytes(let bytes): bytes == 0
        case .share(let share): share.isZero
        }
    }
}

extension Ceiling where Value == MemoryAmount {
    /// Reads what `MemoryAmount` does, and `max`.
    ///
    /// - Parameters:
    ///   - text: such as `512M`, `50%` or `max`.
    ///   - zeroAllowed: whether no memory at all makes sense, as it does for swap.
    /// - Throws: for everything else.
    public init(parsing text: String, zeroAllowed: Bool = false) throws(LimitSyntaxError) {
        if text == "max" {
            self = .max
            return
        }
        let amount = try MemoryAmount(parsing: text)
        guard zeroAllowed || !amount.isZero else {
            throw LimitSyntaxError(accepted: "more than 0: " + MemoryAmount.accepted)
        }
        self = .value(amount)
    }
}

extension MemoryAmount: SingleLimitValue {
    package init?(figure: UInt64) { self = .bytes(figure) }

    package var figure: UInt64? { bytes }
    package var busValue: LimitKind.BusProperty.Value? { bytes.map { .number($0) } }

    package var kernelText: String {
        guard let bytes else { preconditionFailure("a share of RAM, of no machine") }
        return String(bytes)
    }

    package var origin: String? {
        if case .share(let share) = self { "\(share) of RAM" } else { nil }
    }

    /// Bytes, with `K`, `M`, `G` or `T` where that is exact; a share of RAM in percent.
    package var unitText: String {
        switch self {
        case .share(let share): return percentText(share.hundredths)
        case .bytes(let bytes):
            for (shift, suffix) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] where bytes > 0 {
                if bytes & ((1 << UInt64(shift)) - 1) == 0 { return "\(bytes >> UInt64(shift))\(suffix)" }
            }
            return String(bytes)
        }
    }
}
