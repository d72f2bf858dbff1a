package import LinuxSystem
internal import SystemPackage

/// Where the cgroup hierarchies are mounted, if at the usual places, and which of their cgroups this process is in.
package struct Hierarchies: Sendable, Equatable {
    package enum Mode: String, Sendable, Codable {
        /// cgroup2 with all controllers on /sys/fs/cgroup.
        case unified
        /// v1 controllers, with cgroup2 for tracking and killing beside them.
        case hybrid
    }

    package var mode: Mode
    /// Mount point of cgroup2.
    package var mount: String { unified.point }
    /// The caller's own cgroup in cgroup2.
    let own: OwnCgroup
    /// The caller's own cgroup for each v1 controller that is mounted and known to cgrun.
    package private(set) var legacyPaths: [LegacyPath]
    private let unified: CgroupMount

    /// A cgroup that this process is in.
    package struct OwnCgroup: Sendable, Equatable {
        /// Its path from the root of the cgroup namespace on, as in `/proc/self/cgroup`.
        var membership: String
        /// Its path from the mount point on: `/user.slice/…`; `nil` where it is not below the mount point.
        package var path: String?

        /// - Throws: `.outsideMount`.
        func path(below mount: String) throws(CgroupError) -> String {
            guard let path else { throw CgroupError(.outsideMount(path: membership, mount: mount)) }
            return path
        }
    }

    package struct LegacyPath: Sendable, Equatable {
        package var controller: LegacyController
        package var own: OwnCgroup
    }

    static let root = "/sys/fs/cgroup"

    /// - Throws: `.noCgroup2` without cgroup2 on /sys/fs/cgroup or /sys/fs/cgroup/unified.
    package static func current() throws(CgroupError) -> Hierarchies {
        let (mode, mount) = try mounted()
        guard let memberships = Memberships(parsing: try membership()) else { throw CgroupError(.noCgroup2) }
        do {
            return Hierarchies(mode, try CgroupMount(mount, .v2, own: memberships.unified), memberships) {
                try? CgroupMount($0.mount, .v1, own: $1)
            }
        } catch { throw CgroupError(error) }
    }

    private static func mounted() throws(CgroupError) -> (Mode, String) {
        do {
            if try CgroupDirectory.isCgroup2(root) { return (.unified, root) }
            if try CgroupDirectory.isCgroup2(root + "/unified") { return (.hybrid, root + "/unified") }
        } catch { throw CgroupError(error) }
        throw CgroupError(.noCgroup2)
    }

    /// - Parameter legacyMount: finds the mount of a v1 controller, given the caller's path in `/proc/self/cgroup`;
    ///   `nil` where it cannot be found.
    init(
        _ mode: Mode, _ unified: CgroupMount, _ memberships: Memberships,
        legacyMount: (LegacyController, String) -> CgroupMount?
    ) {
        self.mode = mode
        self.unified = unified
        own = OwnCgroup(membership: memberships.unified, path: unified.locate(memberships.unified))
        let legacy = mode == .unified ? [] : memberships.legacy
        legacyPaths = legacy.map { controller, path in
            let own = OwnCgroup(membership: path, path: legacyMount(controller, path)?.locate(path))
            return LegacyPath(controller: controller, own: own)
        }
    }

    /// The content of `/proc/self/cgroup`: which cgroups this process is in.
    package static func membership() throws(CgroupError) -> String {
        do { return try readTextFile("/proc/self/cgroup") } catch { throw CgroupError(error) }
    }

    /// The lines of `/proc/PID/cgroup`.
    struct Memberships {
        private(set) var unified: String
        private(set) var legacy: [(LegacyController, String)] = []

        /// - Returns: `nil` without a line of cgroup v2.
        init?(parsing text: String) {
            var own: String?
            for line in text.split(separator: "\n") {
                let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
                guard fields.count == 3 else { continue }
                if fields[0] == "0", fields[1].isEmpty {
                    own = String(fields[2])
                } else {
                    let names = fields[1].split(separator: ",").map(String.init)
                    legacy += names.compactMap(LegacyController.init(rawValue:)).map { ($0, String(fields[2])) }
                }
            }
            guard let own, own.hasPrefix("/") else { return nil }
            unified = own
        }
    }

    /// The caller's own cgroup in cgroup2, from the mount point on; `nil` where it is not below the mount point.
    package var ownPath: String? { own.path }

    /// The path of the cgroup v2 that a process is in, as in `/proc/PID/cgroup`.
    package static func unifiedPath(of pid: ProcessID) throws(SystemError) -> String {
        let file = "/proc/\(pid)/cgroup"
        let line = try readTextFile(file).split(separator: "\n").first { $0.hasPrefix("0::") }
        guard let line else { throw SystemError("read", path: file, errno: .noData) }
        return String(line.dropFirst(3))
    }

    /// The name of the job of cgrun's that the caller is in; `nil` where neither the namespace nor the mount shows it.
    package var ownJob: String? {
        [own.membership, ownPath ?? ""].lazy.compactMap { $0.split(separator: "/").last { JobName.isJob($0) } }
            .first.map(String.init)
    }

    /// The directory that the caller's jobs are made in, unless another is named.
    ///
    /// - Throws: `.outsideMount`.
    package func placeOfJobs() throws(CgroupError) -> String {
        let path = ParentCgroups.ownParent(try own.path(below: mount))
        return path == "/" ? mount : mount + path
    }

    /// How the caller came to arrange its own cgroup, in words; `nil` where the caller may not.
    package var delegation: String? {
        guard let place = try? placeOfJobs(), let own = try? CgroupDirectory(opening: place, .v2) else { return nil }
        if own.isMarkedDelegated { return "the unit around it is delegated (Delegate=)" }
        // In a container, a job in a scope of the outer machine's manager would escape from the container's limits.
        if place == mount, own.has("cgroup.type") { return "its cgroup namespace begins with its own cgroup" }
        return nil
    }

    /// The directory of a cgroup.
    ///
    /// - Parameter path: as in `/proc/PID/cgroup`, or beginning with the mount point.
    /// - Throws: `.outsideMount`.
    package func absolute(_ path: String) throws(CgroupError) -> String {
        if path == mount || path.hasPrefix(mount + "/") { return path }
        guard let location = unified.locate(path) else { throw CgroupError(.outsideMount(path: path, mount: mount)) }
        return location == "/" ? mount : mount + location
    }
}
