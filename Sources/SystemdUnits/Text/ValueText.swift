public import SandboxValues

/// How systemd writes values that are not words.
public enum ValueText {
    /// `30s`, `500ms`, `2min`: the largest unit up to minutes that is exact.
    public static func span(_ duration: Duration) -> String {
        let parts = duration.components
        let microseconds = parts.seconds * 1_000_000 + parts.attoseconds / 1_000_000_000_000
        if microseconds == 0 { return "0" }
        if microseconds % 60_000_000 == 0, microseconds > 60_000_000 { return "\(microseconds / 60_000_000)min" }
        if microseconds % 1_000_000 == 0 { return "\(microseconds / 1_000_000)s" }
        return microseconds % 1_000 == 0 ? "\(microseconds / 1_000)ms" : "\(microseconds)us"
    }

    /// `SIGTERM`; real-time signals as systemd calls them.
    public static func signal(_ signal: Signal) -> String { signal.description }
}
