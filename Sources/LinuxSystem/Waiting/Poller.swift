internal import CLinux
internal import Glibc
internal import SandboxValues

/// Waits until one of a few descriptors can be read from or written to.
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

    /// Waits until an added descriptor is ready, at most for this time; `nil`: without end.
    ///
    /// - Returns: which descriptors are ready, in the order of adding; none when the time is over.
    package mutating func wait(_ timeout: Duration? = nil) -> [Bool] {
        let count = clinux_poll(&polls, CUnsignedInt(polls.count), timeout.map { max($0, .zero).nanoseconds } ?? -1)
        return polls.map { count > 0 && $0.revents != 0 }
    }

    /// Waits for this time, or until a signal comes.
    package static func pause(_ time: Duration) { _ = clinux_poll(nil, 0, max(time, .zero).nanoseconds) }
}
