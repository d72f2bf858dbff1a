package import LinuxSystem
internal import SystemPackage

/// Where the hierarchies are, at the mount points that everybody uses.
package struct CgroupLayout: Sendable, Equatable {
    package enum Mode: String, Sendable {
        /// cgroup2 with all controllers on /sys/fs/cgroup.
        case unified
        /// v1 controllers, with cgroup2 for tracking and killing beside them.
        case hybrid
    }

    package var mode: Mode
    /// Mount point of cgroup2.
    package var mount: String
    /// The caller's own cgroup in cgroup2, from the mount point on: `/user.slice/…`.
    package var ownPath: String
    /// The same for each v1 controller that is mounted and known here.
    package var legacyPaths: [LegacyPath]

    package struct LegacyPath: Sendable, Equatable {
        package var controller: LegacyController
        package var path: String
    }

    static let root = "/sys/fs/cgroup"

    /// - Throws: `.noCgroup2` without cgroup2 on /sys/fs/cgroup or /sys/fs/cgroup/unified.
    package static func current() throws(CgroupError) -> CgroupLayout {
        let mode: Mode
        let mount: String
        if CgroupDirectory.isCgroup2(root) {
            (mode, mount) = (.unified, root)
        } else if CgroupDirectory.isCgroup2(root + "/unified") {
            (mode, mount) = (.hybrid, root + "/unified")
        } else {
            throw CgroupError(.noCgroup2)
        }
        let text = try membership()
        guard var layout = CgroupLayout(mode, mount, parsing: text) else { throw CgroupError(.noCgroup2) }
        if mode == .unified { layout.legacyPaths = [] }
        return layout
    }

    /// In which cgroups this process is, as the kernel words it.
    package static func membership() throws(CgroupError) -> String {
        do { return try readTextFile("/proc/self/cgroup") } catch { throw CgroupError(error) }
    }

    /// - Parameter membership: the content of `/proc/self/cgroup`.
    init?(_ mode: Mode, _ mount: String, parsing membership: String) {
        self.mode = mode
        self.mount = mount
        var own: String?
        var legacy: [LegacyPath] = []
        for line in membership.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            if fields[0] == "0", fields[1].isEmpty {
                own = String(fields[2])
            } else {
                for name in fields[1].split(separator: ",") {
                    if let controller = LegacyController(rawValue: String(name)) {
                        legacy.append(LegacyPath(controller: controller, path: String(fields[2])))
                    }
                }
            }
        }
        // A path that climbs is outside the cgroup namespace, and so of the mount.
        guard let own, own.hasPrefix("/"), !own.hasPrefix("/..") else { return nil }
        ownPath = own
        legacyPaths = legacy
    }

    /// The cgroup v2 that a process is in, from the mount point on.
    package static func unifiedPath(of pid: ProcessID) throws(SystemError) -> String {
        let file = "/proc/\(pid)/cgroup"
        let line = try readTextFile(file).split(separator: "\n").first { $0.hasPrefix("0::") }
        guard let line else { throw SystemError("read", path: file, errno: .noData) }
        return String(line.dropFirst(3))
    }

    /// The job of cgrun's that the caller is in.
    package var ownJob: String? { ownPath.split(separator: "/").last { JobName.isJob($0) }.map(String.init) }

    /// The directory that the caller's jobs are made in, unless another is named.
    package var placeOfJobs: String { absolute(CgroupPlace.ownParent(ownPath)) }

    /// Whether the caller's own cgroup was handed over to it, as by `Delegate=`.
    package var isOwnDelegated: Bool {
        let own = try? CgroupDirectory(opening: placeOfJobs, .v2)
        return own?.isMarkedDelegated == true
    }

    /// The directory that `path` (from the mount point on, or with it) stands for.
    package func absolute(_ path: String) -> String {
        if path == mount || path.hasPrefix(mount + "/") { return path }
        let relative = path.hasPrefix("/") ? String(path.dropFirst()) : path
        return relative.isEmpty ? mount : "\(mount)/\(relative)"
    }
}
