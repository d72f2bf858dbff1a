/// An assignment that `UnitProperty.init(assignment:)` does not accept.
public struct PropertySyntaxError: Error, Sendable, Equatable {
    /// The form that would have been accepted.
    public var accepted: String
    package init(accepted: String) { self.accepted = accepted }
}
