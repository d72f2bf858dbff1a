/// Why a supervisor configuration cannot be converted; supervisord would refuse most of these, too.
public struct SupervisorError: Error, Equatable, Sendable, CustomStringConvertible {
    public var file: String
    public var line: Int?
    public var section: String?
    public var key: String?
    public var message: String

    func saying(_ message: String) -> SupervisorError {
        var error = self
        error.message = message
        return error
    }

    /// `app.conf:7: expected key=value, but got …`, `app.conf: [program:x] numprocs: expected …`
    public var description: String {
        let place = file + (line.map { ":\($0)" } ?? "")
        let what = section.map { "[\($0)]" + (key.map { " " + $0 } ?? "") + ": " } ?? ""
        return "\(place): \(what)\(message)"
    }
}
