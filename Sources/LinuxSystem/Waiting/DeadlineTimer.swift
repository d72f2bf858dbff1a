internal import CLinux
internal import Glibc
internal import SandboxValues

/// A timerfd on CLOCK_BOOTTIME: readable from its deadline on.
package struct DeadlineTimer: ~Copyable, Sendable {
    package let descriptor: Descriptor

    package init() throws(SystemError) {
        descriptor = Descriptor(
            owning: try checkErrno(
                timerfd_create(CLOCK_BOOTTIME, CInt(TFD_CLOEXEC) | CInt(TFD_NONBLOCK)),
                "timerfd_create"))
    }

    /// Replaces the deadline; `nil` disarms. A deadline before the boot has come.
    package func set(_ deadline: BootTime?) {
        var value = itimerspec()
        if let deadline {
            // The kernel takes no negative time, and disarms for zero.
            let parts = max(deadline.sinceBoot, .nanoseconds(1)).components
            value.it_value.tv_sec = Int(parts.seconds)
            value.it_value.tv_nsec = Int(parts.attoseconds / 1_000_000_000)
        }
        timerfd_settime(descriptor.rawValue, CInt(TFD_TIMER_ABSTIME), &value, nil)
    }
}
