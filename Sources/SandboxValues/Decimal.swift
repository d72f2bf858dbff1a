/// Reads digits only: no sign, no blank, no exponent.
func wholeNumber(_ text: String) -> Int? {
    text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(text) : nil
}

/// A decimal number held exactly, so that 1.1G is not off by a rounded bit.
struct Decimal: Equatable, Sendable {
    private let whole: UInt64
    private let fraction: UInt64
    private let scale: UInt64

    /// Reads digits, or digits with a dot and up to nine more.
    init?(_ text: Substring) {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let whole = wholeNumber(String(first)) else { return nil }
        self.whole = UInt64(whole)
        guard parts.count == 2 else {
            (fraction, scale) = (0, 1)
            return
        }
        guard !parts[1].isEmpty, parts[1].count <= 9, let fraction = wholeNumber(String(parts[1])) else { return nil }
        self.fraction = UInt64(fraction)
        scale = (0..<parts[1].count).reduce(1) { power, _ in power * 10 }
    }

    var isZero: Bool { whole == 0 && fraction == 0 }
    var isWhole: Bool { fraction == 0 }

    /// The number times `factor`, divided by `divisor` and rounded down; `nil` when that does not fit into 64 bits.
    func multiplied(by factor: UInt64, over divisor: UInt64 = 1) -> UInt64? {
        let (numerator, overflow) = whole.multipliedReportingOverflow(by: scale)
        guard !overflow else { return nil }
        let (sum, overflow2) = numerator.addingReportingOverflow(fraction)
        guard !overflow2 else { return nil }
        let product = sum.multipliedFullWidth(by: factor)
        let (over, overflow3) = scale.multipliedReportingOverflow(by: divisor)
        guard !overflow3, product.high < over else { return nil }
        return over.dividingFullWidth(product).quotient
    }
}
