/// Where a service's output goes.
public enum Output: Equatable, Sendable {
    case journal
    case null
    /// The other stream's place; for standard error only.
    case inherit
    /// Appended to, by its absolute path.
    case file(String)

    func text(key: String) throws(UnitError) -> String {
        switch self {
        case .journal: "journal"
        case .null: "null"
        case .inherit: "inherit"
        case .file(let path): "append:" + (try Check.pathLine(path, key: key))
        }
    }
}
