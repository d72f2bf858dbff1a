/// The field of `Limits` that a kind of limit is in, whatever its type.
struct LimitField: Sendable {
    let value: @Sendable (Limits) -> (any LimitValue)?
    /// Reads an option's value into the limits.
    let parse: @Sendable (String, inout Limits) throws(LimitSyntaxError) -> Void
    /// Takes a limit over from other limits, if they have it.
    let adopt: @Sendable (Limits, inout Limits) -> Void
    let encode: @Sendable (Limits, inout KeyedEncodingContainer<NameKey>, NameKey) throws -> Void
    let decode: @Sendable (KeyedDecodingContainer<NameKey>, NameKey, inout Limits) -> Void

    init<Value: LimitValue>(
        _ field: any WritableKeyPath<Limits, Value?> & Sendable,
        _ read: @escaping @Sendable (String) throws(LimitSyntaxError) -> Value
    ) {
        @Sendable func add(_ later: Value, _ limits: inout Limits, keepingStricter: Bool = false) {
            let sooner = limits[keyPath: field]
            limits[keyPath: field] = sooner?.merging(later, keepingStricter: keepingStricter) ?? later
        }
        value = { $0[keyPath: field] }
        parse = { (text, limits) throws(LimitSyntaxError) in
            add(try read(text), &limits, keepingStricter: true)
        }
        adopt = { changes, limits in
            if let change = changes[keyPath: field] { add(change, &limits) }
        }
        encode = { try $1.encode($0[keyPath: field]?.figure, forKey: $2) }
        decode = { container, key, limits in
            // A report of an older cgrun lacks kinds of limits that came later.
            let figure = try? container.decodeIfPresent(Value.Figure.self, forKey: key)
            limits[keyPath: field] = figure.flatMap(Value.init)
        }
    }
}
