public import SandboxValues

/// Defaults for all scopes whose names begin alike: the model of a drop-in (systemd.scope(5), systemd.unit(5)).
///
/// A scope itself has no file: some program asks systemd for it at run time. But systemd applies the drop-ins in
/// `cgrun-.scope.d` to every scope whose name begins with `cgrun-`, and they beat what that program asked for.
public struct ScopeDefaults: Equatable, Sendable {
    /// What the names begin with, up to a dash that may be left out: `cgrun` for all `cgrun-….scope`.
    public var prefix: String
    /// The drop-in's name without `.conf`, `50-cgrun` unless another is given. systemd reads drop-ins in the order of
    /// their names; of two that set the same, the later wins.
    public var dropIn: String
    /// Comments at the top of the file, for people, one line each.
    public var header: [String] = []
    /// `MemoryMax=`, `TasksMax=`, `CPUQuota=` and the like (systemd.resource-control(5)): one directive for each
    /// limit that is given, for every such scope by itself.
    public var limits: Limits
    /// `TimeoutStopSec=`: how long a scope may take to stop before its processes get SIGKILL. `nil` leaves systemd's
    /// default, which is usually 90 seconds.
    public var stopTimeout: Duration?

    /// Defaults with these limits, systemd's time to stop and no header.
    public init(prefix: String, dropIn: String = "50-cgrun", limits: Limits) {
        self.prefix = prefix
        self.dropIn = dropIn
        self.limits = limits
    }

    /// The drop-in, such as `cgrun-.scope.d/50-cgrun.conf`. `SendSIGKILL=yes` is always in it, so that no scope's
    /// processes can outlive its stop.
    ///
    /// - Throws: for a `prefix` that no scope's name can begin with or that has an `@`, and for a `dropIn` that is
    ///   empty, begins with a dot or has a slash.
    public func file() throws(UnitError) -> UnitFile {
        // systemd looks for drop-ins by the parts of a name that end at a dash, and by no other beginnings.
        let stem = prefix.hasSuffix("-") ? prefix : prefix + "-"
        let name = try UnitName(stem, .scope)
        guard !stem.contains("@"), !dropIn.isEmpty, !dropIn.contains("/"), !dropIn.hasPrefix(".") else {
            throw UnitError(
                key: "scope prefix", value: prefix, accepted: "the first part of names, such as cgrun for cgrun-….scope"
            )
        }
        var section = UnitFile.Section("Scope")
        section.set(.sendSIGKILL, "yes")
        section.set(.timeoutStopSec, stopTimeout.map(ValueText.span))
        section.setLimits(limits)
        return UnitFile(path: "\(name).d/\(dropIn).conf", header: header, sections: [section])
    }
}
