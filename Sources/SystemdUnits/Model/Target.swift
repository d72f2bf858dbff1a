/// A group of units that are started and stopped together: the model of a `.target` file (systemd.target(5)).
///
/// The target lists in `dependencies.wants` what it starts. Units that are to stop and restart with it name the
/// target in their own `dependencies.partOf`.
public struct Target: Equatable, Sendable {
    /// The file's name; of the kind `target`.
    public var name: UnitName
    /// Comments at the top of the file, for people, one line each.
    public var header: [String] = []
    /// `Description=`: one line on what the group is, shown by `systemctl status`.
    public var summary: String
    /// The units that the target starts, and what else it needs and starts after.
    public var dependencies = Dependencies()
    /// `WantedBy=`: the units, by their full names, that start the target once `systemctl enable` has run.
    /// `multi-user.target`, a part of every ordinary boot, unless others are given.
    public var wantedBy: [String] = ["multi-user.target"]

    /// A target that starts with the machine, once it is enabled, and has no units in it yet.
    public init(name: UnitName, summary: String) {
        self.name = name
        self.summary = summary
    }

    /// The target's file, to be put where `UnitFile.path` says.
    ///
    /// - Throws: for a `summary` of more than one line, with control characters, with a blank at either end or with a
    ///   backslash at its end, and for names in `dependencies` and `wantedBy` that are not full names of units.
    public func file() throws(UnitError) -> UnitFile {
        UnitFile(
            path: name.description, header: header,
            sections: [try .unit(summary, dependencies), try .install(wantedBy: wantedBy)])
    }
}
