public import SandboxValues

/// Defaults for scopes. Scopes cannot come from disk, but drop-ins for all whose names begin alike can.
public struct ScopeDefaults: Equatable, Sendable {
    /// `cgrun` for `cgrun-anything.scope`.
    public var prefix: String
    /// The name of the drop-in, `50-defaults`.
    public var dropIn: String
    public var header: [String] = []
    public var limits: Limits
    public var stopTimeout: Duration?

    public init(prefix: String, dropIn: String = "50-cgrun", limits: Limits) {
        self.prefix = prefix
        self.dropIn = dropIn
        self.limits = limits
    }

    public func file() throws(UnitError) -> UnitFile {
        // What names share ends at a dash; systemd reads no other prefixes.
        let stem = prefix.hasSuffix("-") ? prefix : prefix + "-"
        let name = try UnitName(stem, .scope)
        guard !stem.contains("@"), !dropIn.isEmpty, !dropIn.contains("/"), !dropIn.hasPrefix(".") else {
            throw UnitError(
                key: "scope prefix", value: prefix, accepted: "the first part of names, such as cgrun for cgrun-….scope"
            )
        }
        var section = UnitFile.Section("Scope")
        section.set(.sendSIGKILL, "yes")
        section.set(.timeoutStop, stopTimeout.map(ValueText.span))
        section.setLimits(limits)
        return UnitFile(path: "\(name).d/\(dropIn).conf", header: header, sections: [section])
    }
}
