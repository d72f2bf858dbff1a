/// Why a configuration of supervisor cannot be converted. supervisord itself would refuse it for most of these
/// reasons.
public struct SupervisorError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The path of the file with the fault.
    public var file: String
    /// The number of the line, from 1; `nil` where the fault is one of values and not of syntax.
    public var line: Int?
    /// The section without brackets, such as `program:api`; `nil` where the fault is in none.
    public var section: String?
    /// The key in lower case, such as `numprocs`; `nil` where the fault is in none.
    public var key: String?
    /// What is wrong, and what would be accepted.
    public var message: String

    /// An error without a line is one of values.
    package init(file: String, line: Int? = nil, section: String? = nil, key: String? = nil, message: String) {
        (self.file, self.line, self.section, self.key, self.message) = (file, line, section, key, message)
    }

    /// The place and the message in one line: `app.conf:7: expected key=value, but got …`, or
    /// `app.conf: [program:x] numprocs: expected …`.
    public var description: String {
        let place = file + (line.map { ":\($0)" } ?? "")
        let what = section.map { "[\($0)]" + (key.map { " " + $0 } ?? "") + ": " } ?? ""
        return "\(place): \(what)\(message)"
    }
}
