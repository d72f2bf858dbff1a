internal import CLinux
internal import Glibc
internal import SandboxValues

/// Waits until one of a few descriptors has something to read, or whatever else is asked.
package struct Poller {
    private var polls: [pollfd] = []

    package init() {}

    package struct Interest: OptionSet, Sendable {
        package let rawValue: Int16
        package init(rawValue: Int16) { self.rawValue = rawValue }
        package static let reading = Interest(rawValue: Int16(POLLIN))
        package static let writing = Interest(rawValue: Int16(POLLOUT))
    }

    /// - Parameter descriptor: -1 takes a place, but is never ready.
    package mutating func add(_ descriptor: CInt, for interest: Interest = .reading) {
        polls.append(pollfd(fd: descriptor, events: interest.rawValue, revents: 0))
    }

    /// Which of the added descriptors are ready, in the order of adding.
    /// Nothing is ready when the time is over.
    package mutating func wait(_ timeout: Duration? = nil) -> [Bool] {
        let count = clinux_poll(&polls, CUnsignedInt(polls.count), timeout.map { max($0, .zero).nanoseconds } ?? -1)
        return polls.map { count > 0 && $0.revents != 0 }
    }
}

extension Duration {
    package var nanoseconds: Int64 {
        let parts = min(max(self, .seconds(-(1 << 32))), .seconds(1 << 32)).components
        return parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000
    }
}

/// Time since boot that goes on during suspend (CLOCK_BOOTTIME), as a limit on wall clock time must.
package struct BootTime: Comparable, Sendable {
    package var sinceBoot: Duration

    package static var now: BootTime {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return BootTime(sinceBoot: .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec))
    }

    package static func < (a: BootTime, b: BootTime) -> Bool { a.sinceBoot < b.sinceBoot }
    /// Stays within some ten thousand years, whatever is added.
    package static func + (a: BootTime, b: Duration) -> BootTime {
        BootTime(sinceBoot: a.sinceBoot + min(max(b, .zero - forEver), forEver))
    }

    private static var forEver: Duration { .seconds(1 << 40) }

    package static func - (a: BootTime, b: BootTime) -> Duration { a.sinceBoot - b.sinceBoot }
}

/// A timerfd on CLOCK_BOOTTIME: readable from its deadline on.
package struct DeadlineTimer: ~Copyable, Sendable {
    package let descriptor: Descriptor

    package init() throws(SystemError) {
        descriptor = Descriptor(
            owning: try checkErrno(
                timerfd_create(CLOCK_BOOTTIME, CInt(TFD_CLOEXEC) | CInt(TFD_NONBLOCK)),
                "timerfd_create"))
    }

    /// Replaces the deadline; `nil` disarms.
    package func set(_ deadline: BootTime?) {
        var value = itimerspec()
        if let deadline {
            let parts = deadline.sinceBoot.components
            value.it_value.tv_sec = Int(min(parts.seconds, 1 << 40))
            // An all-zero value would disarm.
            value.it_value.tv_nsec = max(1, Int(parts.attoseconds / 1_000_000_000))
        }
        timerfd_settime(descriptor.rawValue, CInt(TFD_TIMER_ABSTIME), &value, nil)
    }
}
