/// A limit, or `max`: no limit.
public enum Ceiling<Value> {
    // `Value` has no requirements: Swift's runtime would search the whole program for them whenever cgrun starts.

    /// At most this much.
    case value(Value)
    /// No limit but those of the cgroups above. The kernel accounts for the resource nevertheless.
    case max

    /// The limit; `nil` for none.
    public var value: Value? {
        if case .value(let value) = self { value } else { nil }
    }
}

extension Ceiling: Equatable where Value: Equatable {}
extension Ceiling: Sendable where Value: Sendable {}

extension Ceiling where Value == Int {
    package static let acceptedCount = "a whole number from 1 to 4194304, or max"

    /// The numbers that are accepted, up to the kernel's PID_MAX_LIMIT.
    package static let counts = 1...4_194_304

    /// Reads a number of processes and threads.
    ///
    /// - Throws: for a number that is not from 1 to 4194304, and for everything else.
    public init(parsingCount text: String) throws(LimitSyntaxError) {
        if text == "max" {
            self = .max
        } else if let count = wholeNumber(text), Self.counts.contains(count) {
            self = .value(count)
        } else {
            throw LimitSyntaxError(accepted: Self.acceptedCount)
        }
    }
}
