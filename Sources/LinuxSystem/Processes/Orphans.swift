internal import CLinux
internal import Glibc

/// Processes whose parent has ended, and which this process has adopted: somebody has to reap them, or they stay as
/// zombies, count against the limit of their cgroup, and can be found by `kill -0`. The init of a container often reaps
/// nothing.
package enum Orphans {
    /// Makes this process the parent of all orphans among its descendants.
    package static func adopt() { clinux_adopt_orphans() }

    /// Reaps all children that have ended, but for one that somebody else in this process waits for.
    ///
    /// - Parameter others: whether somebody else waits for this child.
    /// - Returns: whether a child may be left.
    @discardableResult
    package static func reap(except others: (ProcessID) -> Bool = { _ in false }) -> Bool {
        while true {
            let child = clinux_ended_child()
            // The kernel shows the others only when this one is reaped.
            guard child > 0, !others(child) else { return child != -ECHILD }
            waitpid(child, nil, WNOHANG)
        }
    }

    /// Waits until no child is left.
    package static func reapAll(within bound: Duration) {
        let deadline = BootTime.now + bound
        while reap(), BootTime.now < deadline { Poller.pause(.milliseconds(1)) }
    }
}
