extension Duration {
    /// What a number of nanoseconds in 64 bits can tell.
    package static let acceptedRange = "at most 106751d: \(accepted)"
    package static let accepted = "a number with ms, s, m, h or d, such as 500ms, 90s or 1.5h"

    /// Reads `500ms`, `90s`, `1.5h`; a bare number is refused, since its unit could only be guessed.
    package init(parsingLimit text: String, zeroAllowed: Bool = false) throws(LimitSyntaxError) {
        let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let milliseconds: UInt64
        switch text.dropFirst(number.count) {
        case "ms": milliseconds = 1
        case "s": milliseconds = 1_000
        case "m": milliseconds = 60_000
        case "h": milliseconds = 3_600_000
        case "d": milliseconds = 86_400_000
        default:
            // 0 is the same in every unit.
            guard zeroAllowed, text == "0" else { throw LimitSyntaxError(accepted: Self.accepted) }
            milliseconds = 1
        }
        guard let decimal = Decimal(number) else { throw LimitSyntaxError(accepted: Self.accepted) }
        guard let nanoseconds = decimal.multiplied(by: milliseconds * 1_000_000), nanoseconds <= UInt64(Int64.max)
        else { throw LimitSyntaxError(accepted: Self.acceptedRange) }
        guard nanoseconds > 0 || (zeroAllowed && decimal.isZero) else {
            throw LimitSyntaxError(accepted: "more than 0: " + Self.accepted)
        }
        self = .nanoseconds(Int64(nanoseconds))
    }

    package var seconds: Double {
        // The number of seconds in a longer duration does not fit into 64 bits.
        let parts = min(max(self, .seconds(Int64.min)), .seconds(Int64.max)).components
        return Double(parts.seconds) + Double(parts.attoseconds) / 1e18
    }
}
