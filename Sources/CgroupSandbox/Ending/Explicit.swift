/// An optional that is encoded as `null`, where the compiler's coding would leave it out.
///
/// Only the extensions ask for values that are `Equatable` or `Codable`: with such a condition on the type itself,
/// every launch would look up the conformances of all values.
@propertyWrapper
public struct Explicit<Value: Sendable>: Sendable {
    /// The value; `nil` is written as `null`.
    public var wrappedValue: Value?

    /// A value, or none.
    public init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }
}

extension Explicit: Equatable where Value: Equatable {}

extension Explicit: Encodable where Value: Encodable {
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
    }
}

extension Explicit: Decodable where Value: Decodable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        wrappedValue = container.decodeNil() ? nil : try container.decode(Value.self)
    }
}
