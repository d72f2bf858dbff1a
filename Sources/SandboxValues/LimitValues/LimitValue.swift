/// What a field of `Limits` holds. What is true of every limit of a type is said once, by this type; what is particular
/// of one kind of limit is in its row of the table.
package protocol LimitValue: Sendable {
    /// The value in the report.
    associatedtype Figure: Codable

    /// The limit that a report has; `nil` for a figure that is none.
    init?(figure: Figure)

    /// `nil` for no limit.
    var figure: Figure? { get }
    /// What is written to the control file, one text for each write. A share of RAM, or a path, must have been resolved
    /// for a machine before.
    var kernelTexts: [String] { get }
    /// The limit as properties of a transient unit, on the bus. For one that has been resolved, too.
    func busProperties(_ name: String) -> [LimitKind.BusProperty]
    /// The limit as directives of a unit file, which may be read on another machine.
    func directives(_ name: String) -> [LimitKind.Directive]
    /// What the user gave, for messages, where it is not what is written: `50% of RAM`.
    var origin: String? { get }

    /// This limit and one of the same kind that was given later.
    ///
    /// - Parameter keepingStricter: whether both hold, where they can; if not, the later one changes this one.
    func merging(_ later: Self, keepingStricter: Bool) -> Self
}

/// A limit that is one number, or one text.
package protocol SingleLimitValue: LimitValue {
    var kernelText: String { get }
    var unitText: String { get }
    /// `nil` for no limit.
    var busValue: LimitKind.BusProperty.Value? { get }

    /// What is written to the control file for no limit.
    static var unlimitedText: String { get }
}

extension SingleLimitValue {
    package var kernelTexts: [String] { [kernelText] }
    package var unitText: String { kernelText }
    package static var unlimitedText: String { "max" }
    package var origin: String? { nil }

    package func busProperties(_ name: String) -> [LimitKind.BusProperty] {
        busValue.map { [LimitKind.BusProperty(name: name, value: $0)] } ?? []
    }

    package func directives(_ name: String) -> [LimitKind.Directive] { [(name, unitText)] }
    package func merging(_ later: Self, keepingStricter: Bool) -> Self { later }
}

extension SingleLimitValue where Self: FixedWidthInteger {
    package init?(figure: Self) { self = figure }

    package var figure: Self? { self }
    package var kernelText: String { String(self) }
    package var busValue: LimitKind.BusProperty.Value? { .number(UInt64(clamping: self)) }
}

extension Int: SingleLimitValue {}
extension UInt64: SingleLimitValue {}

extension Ceiling: LimitValue, SingleLimitValue where Value: SingleLimitValue {
    package init?(figure: Value.Figure) {
        guard let value = Value(figure: figure) else { return nil }
        self = .value(value)
    }

    package var figure: Value.Figure? { value?.figure }
    package var kernelText: String { value?.kernelText ?? Value.unlimitedText }
    package var unitText: String { value?.unitText ?? "infinity" }
    package var busValue: LimitKind.BusProperty.Value? { value?.busValue }
    package var origin: String? { value?.origin }
}

/// `12.5%` for 1250 hundredths of a percent, as systemd writes shares in unit files.
func percentText(_ hundredths: UInt64) -> String {
    let (whole, rest) = hundredths.quotientAndRemainder(dividingBy: 100)
    guard rest > 0 else { return "\(whole)%" }
    let decimals = rest % 10 == 0 ? String(rest / 10) : digits(rest, 2)
    return "\(whole).\(decimals)%"
}
