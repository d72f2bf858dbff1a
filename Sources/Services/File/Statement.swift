/// A statement of a TOML file, as `cgrun-toml` hands it over: what has a name, and the line that the name is in.
///
/// Inline tables and dotted keys are resolved, so that `ready = { tcp = 80 }` and `ready.tcp = 80` are the same.
package struct Statement: Sendable, Equatable, Codable {
    /// Counted from 1.
    package var line: Int
    /// The names from the root of the document on.
    package var path: [String]
    package var value: Value

    package init(line: Int, path: [String], value: Value) {
        self.line = line
        self.path = path
        self.value = value
    }

    package indirect enum Value: Sendable, Equatable, Codable {
        case string(String)
        case integer(Int)
        case real(Double)
        case boolean(Bool)
        case array([Value])
        /// A table without anything in it, such as a header leaves it; or one in an array.
        case table
        /// A date or a time.
        case moment(String)
    }
}

/// What `cgrun-toml` says of a file.
package enum StatementList: Sendable, Equatable, Codable {
    case statements([Statement])
    /// The text is no TOML.
    case mistake(line: Int, text: String)
}
