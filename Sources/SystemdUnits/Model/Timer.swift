/// When systemd starts a service: the model of a `.timer` file (systemd.timer(5)).
///
/// At least one of `calendar`, `afterBoot` and `every` is needed. A service that still runs when its time comes is
/// left running and not started again.
public struct Timer: Equatable, Sendable {
    /// The file's name; of the kind `timer`.
    public var name: UnitName
    /// Comments at the top of the file, for people, one line each.
    public var header: [String] = []
    /// `Description=`: one line on what the timer is for, shown by `systemctl status`.
    public var summary: String
    /// `OnCalendar=`, a line for each: dates and times as in systemd.time(7), such as `daily` or
    /// `Mon *-*-* 04:00:00`. Only the characters are checked here: letters, digits, blanks and any of
    /// `* , . : / ~ - _ +`.
    public var calendar: [String] = []
    /// `OnBootSec=`: so long after the machine's boot. `nil` for no such start.
    public var afterBoot: Duration?
    /// `OnUnitActiveSec=`: so long after each start of the service. The first start has to come from elsewhere, such
    /// as `afterBoot`. `nil` for no such start.
    public var every: Duration?
    /// `RandomizedDelaySec=`: each start is put off by a random time up to this, so that many timers do not start
    /// everything at once. `nil` leaves systemd's default of no delay.
    public var jitter: Duration?
    /// `AccuracySec=`: how late systemd may be, to wake the machine once for several timers. `nil` leaves systemd's
    /// default of one minute.
    public var accuracy: Duration?
    /// `Persistent=`: whether a time in `calendar` that passed while the machine was off, or the timer stopped, is
    /// made up for by a start as soon as the timer starts. No by default.
    public var isPersistent = false
    /// `Unit=`: the full name of the unit to start. `nil` for the service with this timer's name, such as
    /// `backup.service` for `backup.timer`.
    public var unit: String?
    /// `WantedBy=`: the units, by their full names, that start the timer once `systemctl enable` has run.
    /// `timers.target`, a part of every boot, unless others are given.
    public var wantedBy: [String] = ["timers.target"]

    /// A timer for the service of the same name that starts with the machine, once it is enabled, and has no times
    /// yet.
    public init(name: UnitName, summary: String) {
        self.name = name
        self.summary = summary
    }

    /// The timer's file, to be put where `UnitFile.path` says.
    ///
    /// - Throws: where no time is given, and for the first value that is refused: characters in `calendar` that no
    ///   date has, a name of a unit without its ending, or a `summary` of more than one line, with control
    ///   characters, with a blank at either end or with a backslash at its end.
    public func file() throws(UnitError) -> UnitFile {
        guard !calendar.isEmpty || afterBoot != nil || every != nil else {
            throw UnitError(
                key: "OnCalendar", value: "", accepted: "a calendar expression, a time after the boot or an interval")
        }
        let unit = try UnitFile.Section.unit(summary)
        var timer = UnitFile.Section("Timer")
        timer.set(.onBootSec, afterBoot.map(ValueText.span))
        timer.set(.onUnitActiveSec, every.map(ValueText.span))
        for expression in calendar {
            guard !expression.isEmpty, expression.utf8.first != UInt8(ascii: " "),
                expression.utf8.allSatisfy({ $0.isDigit || $0.isLetter || " *,.:/~-_+".utf8.contains($0) })
            else {
                throw UnitError(
                    key: "OnCalendar", value: expression,
                    accepted:
                        "a calendar expression such as daily or Mon *-*-* 04:00:00 (try: systemd-analyze calendar)")
            }
            timer.set(.onCalendar, expression)
        }
        timer.set(.accuracySec, accuracy.map(ValueText.span))
        timer.set(.randomizedDelaySec, jitter.map(ValueText.span))
        timer.set(.persistent, isPersistent ? "yes" : nil)
        try timer.set(.unit, self.unit, UnitName.checkReference)
        return UnitFile(
            path: name.description, header: header, sections: [unit, timer, try .install(wantedBy: wantedBy)])
    }
}
