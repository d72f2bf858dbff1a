/// When a service runs. Model of a `.timer` file.
public struct Timer: Equatable, Sendable {
    public var name: UnitName
    public var header: [String] = []
    public var summary: String
    /// As in systemd.time(7): `daily`, `Mon *-*-* 04:00:00`.
    public var calendar: [String] = []
    /// After the boot.
    public var afterBoot: Duration?
    /// Between one start of the service and the next.
    public var every: Duration?
    public var jitter: Duration?
    public var accuracy: Duration?
    /// Whether a time that passed while the machine was off is made up for.
    public var isPersistent = false
    /// `nil` for the service of the same name.
    public var unit: String?
    public var wantedBy: [String] = ["timers.target"]

    public init(name: UnitName, summary: String) {
        self.name = name
        self.summary = summary
    }

    public func file() throws(UnitError) -> UnitFile {
        guard !calendar.isEmpty || afterBoot != nil || every != nil else {
            throw UnitError(
                key: "OnCalendar", value: "", accepted: "a calendar expression, a time after the boot or an interval")
        }
        var section = UnitFile.Section("Unit")
        section.set(.description, try Quoting.line(summary, key: "Description"))
        var timer = UnitFile.Section("Timer")
        timer.set(.onBoot, afterBoot.map(ValueText.span))
        timer.set(.onUnitActive, every.map(ValueText.span))
        for expression in calendar {
            guard !expression.isEmpty, expression.utf8.first != UInt8(ascii: " "),
                expression.utf8.allSatisfy({ byte in
                    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                        || " *,.:/~-_+".utf8.contains(byte)
                })
            else {
                throw UnitError(
                    key: "OnCalendar", value: expression,
                    accepted:
                        "a calendar expression such as daily or Mon *-*-* 04:00:00 (try: systemd-analyze calendar)")
            }
            timer.set(.onCalendar, expression)
        }
        timer.set(.accuracy, accuracy.map(ValueText.span))
        timer.set(.randomizedDelay, jitter.map(ValueText.span))
        timer.set(.persistent, isPersistent ? "yes" : nil)
        if let unit { timer.set(.unit, try UnitName.checkReference(unit, key: "Unit")) }
        return UnitFile(
            path: name.description, header: header, sections: [section, timer, try .install(wantedBy: wantedBy)])
    }
}
