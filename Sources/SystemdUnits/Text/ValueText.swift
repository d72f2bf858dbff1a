/// How times are written in unit files.
package enum ValueText {
    /// A time span as in systemd.time(7), in the largest unit up to minutes that is exact: `30s`, `500ms`, `2min`.
    /// What is finer than a microsecond is cut off.
    package static func span(_ duration: Duration) -> String {
        let parts = duration.components
        let microseconds = parts.seconds * 1_000_000 + parts.attoseconds / 1_000_000_000_000
        if microseconds == 0 { return "0" }
        if microseconds % 60_000_000 == 0, microseconds > 60_000_000 { return "\(microseconds / 60_000_000)min" }
        if microseconds % 1_000_000 == 0 { return "\(microseconds / 1_000_000)s" }
        return microseconds % 1_000 == 0 ? "\(microseconds / 1_000)ms" : "\(microseconds)us"
    }
}
