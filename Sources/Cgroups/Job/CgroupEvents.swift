internal import CLinux
package import LinuxSystem

/// An open `cgroup.events`.
package struct CgroupEvents: ~Copyable, Sendable {
    package let descriptor: Descriptor

    init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// - Returns: `false` if a process was still there at the end of `bound`.
    package func waitUntilEmpty(atMost bound: Duration) -> Bool {
        clinux_wait_until_empty(descriptor.rawValue, bound.nanoseconds) == 1
    }
}
