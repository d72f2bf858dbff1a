public import SandboxValues

/// A slice: limits that services share. Model of a `.slice` file.
public struct Slice: Equatable, Sendable {
    public var name: UnitName
    public var header: [String] = []
    public var summary: String
    public var limits: Limits

    public init(name: UnitName, summary: String, limits: Limits) {
        self.name = name
        self.summary = summary
        self.limits = limits
    }

    public func file() throws(UnitError) -> UnitFile {
        var unit = UnitFile.Section("Unit")
        unit.set(.description, try Quoting.line(summary, key: "Description"))
        var slice = UnitFile.Section("Slice")
        slice.setLimits(limits)
        return UnitFile(path: name.description, header: header, sections: [unit, slice])
    }
}
