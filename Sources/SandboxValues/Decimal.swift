/// Reads digits only: no sign, no blank, no exponent.
func wholeNumber(_ text: String) -> Int? {
    text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(text) : nil
}

/// A number's digits, with zeros before them up to this width.
package func digits(_ number: some BinaryInteger, _ width: Int, radix: Int = 10) -> String {
    let text = String(number, radix: radix)
    return String(repeating: "0", count: max(0, width - text.count)) + text
}

/// A decimal number held exactly, so that 1.1G is not off by a rounded bit.
struct Decimal: Equatable, Sendable {
    /// All digits, as if there were no dot.
    private let digits: UInt128
    /// What to divide them by: 100 with two digits after the dot.
    private let scale: UInt128

    /// Reads digits, or digits with a dot and up to nine more.
    init?(_ text: Substring) {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let decimals = parts.count == 2 ? parts[1].count : 0
        guard decimals <= 9, parts.allSatisfy({ wholeNumber(String($0)) != nil }),
            let digits = UInt128(text.filter { $0 != "." })
        else { return nil }
        self.digits = digits
        scale = (0..<decimals).reduce(1) { power, _ in power * 10 }
    }

    var isZero: Bool { digits == 0 }
    var isWhole: Bool { digits % scale == 0 }

    /// The number times `factor`, divided by `divisor` and rounded down; `nil` when that does not fit into 64 bits.
    func multiplied(by factor: UInt64, over divisor: UInt64 = 1) -> UInt64? {
        let (product, isTooLarge) = digits.multipliedReportingOverflow(by: UInt128(factor))
        return isTooLarge ? nil : UInt64(exactly: product / (scale * UInt128(divisor)))
    }
}
