internal import CLinux

/// Time since boot (CLOCK_BOOTTIME). It goes on while the machine is suspended, as a limit on wall clock time must.
package struct BootTime: Comparable, Sendable {
    package var sinceBoot: Duration

    package init(sinceBoot: Duration) { self.sinceBoot = sinceBoot }

    package static var now: BootTime { BootTime(sinceBoot: .nanoseconds(clinux_boot_time())) }

    /// For how long the machine has been suspended since it was booted.
    package static var timeAsleep: Duration {
        // The second clock stands still meanwhile.
        .nanoseconds(clinux_boot_time() - clinux_monotonic_time())
    }

    package static func < (a: BootTime, b: BootTime) -> Bool { a.sinceBoot < b.sinceBoot }
    /// Adds at most some ten thousand years, so that the sum cannot overflow.
    package static func + (a: BootTime, b: Duration) -> BootTime {
        BootTime(sinceBoot: a.sinceBoot + min(max(b, .zero - forEver), forEver))
    }

    private static var forEver: Duration { .seconds(1 << 40) }

    package static func - (a: BootTime, b: BootTime) -> Duration { a.sinceBoot - b.sinceBoot }
}

extension Duration {
    package var nanoseconds: Int64 {
        let parts = min(max(self, .seconds(-(1 << 32))), .seconds(1 << 32)).components
        return parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000
    }
}
