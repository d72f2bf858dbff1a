internal import CLinux
internal import Glibc
internal import SandboxValues

/// Wall clock time for reports.
package struct Timestamp: Sendable, Equatable {
    package var sinceEpoch: Duration

    package init(sinceEpoch: Duration) { self.sinceEpoch = sinceEpoch }

    package static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(sinceEpoch: .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec))
    }

    /// RFC 3339 in UTC, to the millisecond: `2026-11-21T03:04:05.678Z`.
    package var text: String {
        let parts = sinceEpoch.components
        var seconds = time_t(parts.seconds)
        var fields = tm()
        gmtime_r(&seconds, &fields)
        let date = "\(digits(fields.tm_year + 1900, 4))-\(digits(fields.tm_mon + 1, 2))-\(digits(fields.tm_mday, 2))"
        let time = "\(digits(fields.tm_hour, 2)):\(digits(fields.tm_min, 2)):\(digits(fields.tm_sec, 2))"
        return "\(date)T\(time).\(digits(parts.attoseconds / 1_000_000_000_000_000, 3))Z"
    }
}
