internal import SandboxValues

/// A value that systemd would refuse or misread in a unit. It is found when the unit's file is made, and nothing is
/// written.
public struct UnitError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The directive that the value was for, without `=`, such as `WorkingDirectory`; `unit name` or `scope prefix`
    /// for a name.
    public var key: String
    /// The value as it was given; bytes that are not UTF-8 are shown as U+FFFD.
    public var value: String
    /// What would be taken instead, as the end of a sentence: `an absolute path …`.
    public var accepted: String

    /// A message in one line: `WorkingDirectory=relative: expected an absolute path …`. Long values are cut off.
    public var description: String {
        key + (key.contains(" ") ? " " : "=") + "\(shownValue): expected \(accepted)"
    }

    /// The value in one line of at most 201 characters.
    package var shownValue: String {
        let line = value.inOneLine
        return line.count > 200 ? line.prefix(200) + "…" : line
    }
}
