/// Where a service's standard output or standard error goes: `StandardOutput=` and `StandardError=`
/// (systemd.exec(5)).
public enum Output: Equatable, Sendable {
    /// `journal`: systemd's log, which `journalctl -u UNIT` shows.
    case journal
    /// `null`: `/dev/null`, so that all output is lost.
    case null
    /// `inherit`: standard error goes where standard output goes, and standard output where standard input comes
    /// from.
    case inherit
    /// `append:PATH`: the end of the file with this absolute path, which systemd makes if it is not there. A path
    /// that is not absolute, or that has control characters or parts `.` and `..`, is refused.
    case file(String)

    /// The value of `StandardOutput=` or `StandardError=`, whichever `key` is.
    ///
    /// - Throws: for the path of a file that is refused.
    func text(key: String) throws(UnitError) -> String {
        switch self {
        case .journal: "journal"
        case .null: "null"
        case .inherit: "inherit"
        case .file(let path): "append:" + (try Check.pathLine(path, key: key))
        }
    }
}
