/// A share of CPU time among siblings: 1 to 10000, 100 by default.
public struct CPUWeight: Equatable, Sendable {
    /// From 1 to 10000. cgroup v1 would accept other numbers, and use other weights instead.
    public let value: Int

    /// - Throws: for a number that is not from 1 to 10000.
    public init(_ value: Int) throws(LimitSyntaxError) {
        guard (1...10_000).contains(value) else {
            throw LimitSyntaxError(accepted: "a whole number from 1 to 10000 (100 is everybody's default)")
        }
        self.value = value
    }

    /// Reads a whole number.
    ///
    /// - Throws: for one that is not from 1 to 10000, and for everything else.
    public init(parsing text: String) throws(LimitSyntaxError) { try self.init(wholeNumber(text) ?? 0) }
}

extension CPUWeight: SingleLimitValue {
    package init?(figure: Int) { try? self.init(figure) }

    package var figure: Int? { value }
    package var kernelText: String { String(value) }
    package var busValue: LimitKind.BusProperty.Value? { .number(UInt64(value)) }
}
