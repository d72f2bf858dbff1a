public import SandboxValues

/// A slice, whose limits all units in it share: the model of a `.slice` file (systemd.slice(5)).
///
/// The name is the place in the tree of slices: `apps-web.slice` is inside of `apps.slice`. A slice needs no
/// `[Install]` section: systemd starts it with the first unit in it.
public struct Slice: Equatable, Sendable {
    /// The file's name; of the kind `slice`.
    public var name: UnitName
    /// Comments at the top of the file, for people, one line each.
    public var header: [String] = []
    /// `Description=`: one line on what the slice is for, shown by `systemctl status`.
    public var summary: String
    /// `MemoryMax=`, `TasksMax=`, `CPUQuota=` and the like (systemd.resource-control(5)): one directive for each
    /// limit that is given, for everything in the slice together.
    public var limits: Limits

    /// A slice with these limits and no header.
    public init(name: UnitName, summary: String, limits: Limits) {
        self.name = name
        self.summary = summary
        self.limits = limits
    }

    /// The slice's file, to be put where `UnitFile.path` says.
    ///
    /// - Throws: for a `summary` of more than one line, with control characters, with a blank at either end or with a
    ///   backslash at its end.
    public func file() throws(UnitError) -> UnitFile {
        let unit = try UnitFile.Section.unit(summary)
        var slice = UnitFile.Section("Slice")
        slice.setLimits(limits)
        return UnitFile(path: name.description, header: header, sections: [unit, slice])
    }
}
