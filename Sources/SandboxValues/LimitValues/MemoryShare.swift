/// A part of a machine's RAM, in percent.
public struct MemoryShare: Equatable, Sendable, CustomStringConvertible {
    private let percent: Decimal
    private let text: String

    /// Reads `50` or `12.5`, with up to nine digits after the dot.
    ///
    /// - Throws: above 100, and for everything that is no number.
    public init(parsing number: some StringProtocol) throws(LimitSyntaxError) {
        guard let percent = Decimal(Substring(number)) else { throw LimitSyntaxError(accepted: MemoryAmount.accepted) }
        guard let billionths = percent.multiplied(by: 1_000_000_000), billionths <= 100_000_000_000 else {
            throw LimitSyntaxError(accepted: "at most 100%: " + MemoryAmount.accepted)
        }
        self.percent = percent
        text = String(number)
    }

    /// As it was given, with the percent sign: `12.5%`.
    public var description: String { text + "%" }

    func bytes(of total: ByteCount) -> UInt64 {
        // This never overflows: a share is at most 100 percent.
        percent.multiplied(by: total.bytes, over: 100) ?? total.bytes
    }

    var isZero: Bool { percent.isZero }

    /// Hundredths of a percent, which is as fine as systemd reads. Rounded down, but a share above 0 never becomes 0.
    var hundredths: UInt64 {
        let hundredths = percent.multiplied(by: 100) ?? 10_000
        return isZero ? 0 : max(1, hundredths)
    }
}
