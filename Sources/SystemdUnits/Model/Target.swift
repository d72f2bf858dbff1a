/// A group of units that start and stop together. Model of a `.target` file.
public struct Target: Equatable, Sendable {
    public var name: UnitName
    public var header: [String] = []
    public var summary: String
    public var dependencies = Dependencies()
    public var wantedBy: [String] = ["multi-user.target"]

    public init(name: UnitName, summary: String) {
        self.name = name
        self.summary = summary
    }

    public func file() throws(UnitError) -> UnitFile {
        var unit = UnitFile.Section("Unit")
        unit.set(.description, try Quoting.line(summary, key: "Description"))
        try dependencies.write(to: &unit)
        return UnitFile(path: name.description, header: header, sections: [unit, try .install(wantedBy: wantedBy)])
    }
}
