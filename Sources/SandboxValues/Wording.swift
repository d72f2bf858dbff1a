/// How messages call what was asked for.
package enum Wording: String, Sendable, Codable {
    /// As programs know it: "the memory limit".
    case library
    /// As the command line has it: `--mem`.
    case options

    /// One of two.
    package func choose(_ library: String, options: String) -> String { self == .library ? library : options }
}

/// A kind of limit, as messages call it.
public struct LimitName: Hashable, Sendable, CustomStringConvertible {
    /// `memory limit`.
    public let description: String
    /// `--mem`.
    package let flag: String

    package init(description: String, flag: String) {
        self.description = description
        self.flag = flag
    }

    package func text(_ wording: Wording) -> String { wording.choose("the \(description)", options: flag) }
}
