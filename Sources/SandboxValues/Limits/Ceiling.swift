/// Text that is not a value of the kind asked for.
public struct LimitSyntaxError: Error, Equatable, Sendable {
    /// What would have been taken: "bytes, or a number with K, M, G or T, …".
    public var accepted: String

    package init(accepted: String) { self.accepted = accepted }
}

/// A limit, or `max`: no limit.
public enum Ceiling<Value: Equatable & Sendable>: Equatable, Sendable {
    /// So much and no more.
    case value(Value)
    /// Everything that the cgroup above has; the resource is accounted for nevertheless.
    case max

    /// The limit; `nil` for none.
    public var value: Value? {
        if case .value(let value) = self { value } else { nil }
    }
}

extension Ceiling where Value == Int {
    package static let acceptedCount = "a whole number from 1 to 4194304, or max"

    /// What the kernel can count up to: its own PID_MAX_LIMIT.
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

    /// As the kernel reads it.
    package var kernelText: String { value.map { String($0) } ?? "max" }
}
