/// CPU time per wall clock time, in processors: 1.5 is one processor and half of another.
public struct CPUBandwidth: Equatable, Sendable {
    /// Microseconds of CPU time in each period of 100 ms.
    public var quotaMicroseconds: UInt64
    package static let periodMicroseconds: UInt64 = 100_000

    package static let accepted = "a number of processors such as 0.5 or 2, from 0.01 to 10000, or max"

    /// A bandwidth. A quota that the kernel refuses is an error at the job's start.
    public init(quotaMicroseconds: UInt64) { self.quotaMicroseconds = quotaMicroseconds }

    /// Reads `0.5`, `2`.
    ///
    /// - Throws: below 0.01, as the kernel refuses quotas of less than 1 ms, and above 10000.
    public init(parsing text: String) throws(LimitSyntaxError) {
        guard let decimal = Decimal(text[...]), let quota = decimal.multiplied(by: Self.periodMicroseconds),
            (1_000...10_000 * Self.periodMicroseconds).contains(quota)
        else { throw LimitSyntaxError(accepted: Self.accepted) }
        quotaMicroseconds = quota
    }

    /// The bandwidth in processors.
    public var cores: Double { Double(quotaMicroseconds) / Double(Self.periodMicroseconds) }
}

extension Ceiling where Value == CPUBandwidth {
    /// Reads what `CPUBandwidth` does, and `max`.
    ///
    /// - Throws: for everything else.
    public init(parsingCores text: String) throws(LimitSyntaxError) {
        self = text == "max" ? .max : .value(try CPUBandwidth(parsing: text))
    }
}

extension CPUBandwidth: SingleLimitValue {
    package init?(figure cores: Double) {
        guard let quota = UInt64(exactly: (cores * Double(Self.periodMicroseconds)).rounded()) else { return nil }
        quotaMicroseconds = quota
    }

    package var figure: Double? { cores }
    package var kernelText: String { "\(quotaMicroseconds) \(Self.periodMicroseconds)" }
    package static var unlimitedText: String { "max \(periodMicroseconds)" }
    package var busValue: LimitKind.BusProperty.Value? { .number(UInt64(cores * 1e6)) }

    /// Percent of one processor. systemd keeps hundredths of a percent; what is finer is rounded up, so that no quota
    /// becomes 0.
    package var unitText: String {
        percentText((quotaMicroseconds * 10_000 + Self.periodMicroseconds - 1) / Self.periodMicroseconds)
    }
}
