internal import FoundationEssentials
internal import LinuxSystem
internal import SandboxValues

extension Timestamp {
    /// The year 2200: nanoseconds have room until 2262.
    private static let latest = 7_258_118_400.0

    /// The time that `--since` names: so long ago, or a moment.
    init(since text: String, now: Timestamp = .now) throws(LimitSyntaxError) {
        if let ago = try? Duration(parsingLimit: text, zeroAllowed: true) {
            self.init(sinceEpoch: max(.zero, now.sinceEpoch - ago))
            return
        }
        for hasFraction in [false, true] {
            let style = Date.ISO8601FormatStyle(includingFractionalSeconds: hasFraction)
            if let date = try? style.parse(text) {
                self.init(sinceEpoch: .seconds(min(max(0, date.timeIntervalSince1970), Self.latest)))
                return
            }
        }
        throw LimitSyntaxError(accepted: "how long ago, such as 10m, or a time such as 2026-11-27T13:43:27Z")
    }
}
