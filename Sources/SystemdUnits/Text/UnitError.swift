internal import SandboxValues

/// A value that cannot stand in a unit, found before anything is written.
public struct UnitError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The unit's key, such as `WorkingDirectory`, or the kind of name, such as `unit name`.
    public var key: String
    /// The value as it was given; bytes that are not UTF-8 are shown as U+FFFD.
    public var value: String
    /// What would have been taken.
    public var accepted: String

    public init(key: String, value: String, accepted: String) {
        self.key = key
        self.value = value
        self.accepted = accepted
    }

    /// `WorkingDirectory=relative: expected an absolute path`, shortened where the value is long.
    public var description: String {
        key + (key.contains(" ") ? " " : "=") + "\(shownValue): expected \(accepted)"
    }

    /// The value in one line, and not too long a line.
    public var shownValue: String {
        let line = value.inOneLine
        return line.count > 200 ? line.prefix(200) + "…" : line
    }
}
