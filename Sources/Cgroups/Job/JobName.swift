internal import LinuxSystem

/// How cgrun's cgroups are called, so that a sweep can tell them from others'.
package enum JobName {
    static let prefix = "cgrun-"
    /// Where cgrun moves processes that are in the way of passing controllers on.
    static let leaf = "cgrun-leaf"
    private static let digits = 16

    /// A new job id, which no other job has, and the name that the cgroups of this job get.
    package static func make() -> (id: String, cgroup: String) {
        let id = Machine.randomHexadecimal()
        return (id, prefix + id)
    }

    static func isJob(_ name: some StringProtocol) -> Bool {
        name.hasPrefix(prefix) && name.utf8.count == prefix.utf8.count + digits
            && name.utf8.dropFirst(prefix.utf8.count).allSatisfy("0123456789abcdef".utf8.contains)
    }
}
