internal import LinuxSystem

/// How cgrun's cgroups are called, so that a sweep can tell them from others'.
package enum JobName {
    static let prefix = "cgrun-"
    /// Where cgrun moves processes that are in the way of passing controllers on.
    package static let leaf = "cgrun-leaf"
    private static let digits = 16

    /// A new job id, which no other job has, and the name that the cgroups of this job get.
    package static func make() -> (id: String, cgroup: String) {
        let id = Machine.randomHexadecimal()
        return (id, prefix + id)
    }

    /// What the cgroups of a service are called. A sweep does not take them for a job's.
    package static func service(_ name: String) -> String { servicePrefix + name }

    private static let servicePrefix = prefix + "svc-"
    static func isService(_ name: some StringProtocol) -> Bool { name.hasPrefix(servicePrefix) }

    static func isJob(_ name: some StringProtocol) -> Bool {
        name.hasPrefix(prefix) && name.utf8.count == prefix.utf8.count + digits
            && name.utf8.dropFirst(prefix.utf8.count).allSatisfy("0123456789abcdef".utf8.contains)
    }
}
