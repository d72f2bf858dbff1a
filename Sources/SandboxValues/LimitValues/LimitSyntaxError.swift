/// Text that is not a value of the kind asked for.
public struct LimitSyntaxError: Error, Equatable, Sendable {
    /// The form that would have been accepted: "bytes, or a number with K, M, G or T, …".
    public var accepted: String

    package init(accepted: String) { self.accepted = accepted }
}
