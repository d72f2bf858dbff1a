/// What other units a unit needs and what it starts after, for its `[Unit]` section (systemd.unit(5)).
///
/// Units are given by their full names with endings, such as `network.target`; every other name is refused when
/// the unit's file is made. A name that is listed twice is written once.
public struct Dependencies: Equatable, Sendable {
    /// `Wants=`: systemd starts these units with this one, which starts all the same when one of them fails.
    public var wants: [String] = []
    /// `Requires=`: systemd starts these units with this one and stops this one with each of them. Only with `after`,
    /// too, does this unit wait for their start, and fail when it fails.
    public var requires: [String] = []
    /// `PartOf=`: stopping or restarting one of these units does the same to this one; starting does not.
    public var partOf: [String] = []
    /// `After=`: where both are started, this unit waits until these have started; at a stop, it goes first. Starts
    /// nothing by itself.
    public var after: [String] = []

    /// No dependencies but systemd's own.
    public init() {}

    /// Adds the four directives to `[Unit]`.
    ///
    /// - Throws: for a name without an ending, or with characters that unit names cannot have.
    func write(to section: inout UnitFile.Section) throws(UnitError) {
        for (key, names) in [(UnitKey.wants, wants), (.requires, requires), (.partOf, partOf), (.after, after)] {
            var seen: Set<String> = []
            try section.set(key, units: names.filter { seen.insert($0).inserted })
        }
    }
}
