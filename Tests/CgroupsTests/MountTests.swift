import Testing

@testable import Cgroups

/// Mounts that begin elsewhere than the cgroup namespace.
@Suite struct MountTests {
    /// Mount root, path as in `/proc/PID/cgroup`, what it is below the mount point.
    static let cases: [(root: String, path: String, location: String?)] = [
        ("/", "/", "/"), ("/", "/a/b", "/a/b"), ("/", "a", "/a"), ("/", "/a/../b", "/b"), ("/", "/a//./b", "/a/b"),
        // Outside of the namespace, and so of a mount that begins with it.
        ("/", "/..", nil), ("/", "/../a", nil), ("/", "/a/../../b", nil),
        // A part of the hierarchy, bind-mounted.
        ("/docker/x", "/docker/x", "/"), ("/docker/x", "/docker/x/job", "/job"), ("/docker/x", "/docker/y", nil),
        ("/docker/x", "/docker", nil), ("/docker/x", "/", nil), ("/docker/x", "/..", nil),
        // A namespace without a mount of its own: what is beside it can be told, what is in it cannot.
        ("/..", "/", nil), ("/..", "/a", nil), ("/..", "/../a", "/a"), ("/..", "/..", "/"), ("/..", "/../../a", nil),
        ("/../..", "/../../a/b", "/a/b"), ("/../..", "/../a", nil),
        // Beside the namespace, too.
        ("/../other", "/../other/a", "/a"), ("/../other", "/", nil), ("/../other", "/../else", nil),
    ]

    @Test(arguments: cases)
    func places(_ one: (root: String, path: String, location: String?)) {
        #expect(CgroupMount("/sys/fs/cgroup", root: one.root).locate(one.path) == one.location)
    }

    @Test func findsAMountByItsNumber() {
        let table = """
            31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
            41 31 0:38 /.. /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
            411 31 0:38 /a\\040b\\134c /mnt/d\\040e rw,relatime shared:1 - cgroup2 cgroup2 rw
            """
        #expect(CgroupMount.root(ofMount: 41, in: table) == "/..")
        #expect(CgroupMount.root(ofMount: 411, in: table) == "/a b\\c")
        #expect(CgroupMount.root(ofMount: 4, in: table) == nil)
        #expect(CgroupMount.root(ofMount: 31, in: "") == nil)
    }
}
