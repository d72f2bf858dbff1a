/// What a unit needs and when it starts: the `[Unit]` section.
public struct Dependencies: Equatable, Sendable {
    public var wants: [String] = []
    public var requires: [String] = []
    public var partOf: [String] = []
    public var after: [String] = []

    public init() {}

    func write(to section: inout UnitFile.Section) throws(UnitError) {
        for (key, names) in [(UnitKey.wants, wants), (.requires, requires), (.partOf, partOf), (.after, after)] {
            var checked: [String] = []
            for name in names where !checked.contains(name) {
                checked.append(try UnitName.checkReference(name, key: key.rawValue))
            }
            section.set(key, words: checked)
        }
    }
}
