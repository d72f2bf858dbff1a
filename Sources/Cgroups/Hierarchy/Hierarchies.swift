package import LinuxSystem
internal import SystemPackage

/// Where the hierarchies are, at the mount points that everybody uses.
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
    /// The same for each v1 controller that is mounted and known here.
    package private(set) var legacyPaths: [LegacyPath]
    private let unified: CgroupMount

    /// A cgroup that this process is in.
    package struct OwnCgroup: Sendable, Equatable {
        /// As the kernel words it, from the root of the cgroup namespace on.
        var membership: String
        /// From the mount point on: `/user.slice/…`; `nil` where it is not below the mount point.
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

    /// - Parameter legacyMount: of a v1 controller in which the caller has this path; `nil` where nobody can tell.
    init(
        _ mode: Mode, _ unified: CgroupMount, _ memberships: Memberships,
        legacyMount: (LegacyController, String) -> CgroupMount?
    ) {
        self.mode = mode
        self.unified = unified
        own = OwnCgroup(membership: memberships.unified, path: unified.locate(memberships.unified))
        legacyPaths =
            mode == .unified
            ? []
            : memberships.legacy.map { controller, path in
                LegacyPath(
                    controller: controller,
                    own: OwnCgroup(membership: path, path: legacyMount(controller, path)?.locate(path)))
            }
    }

    /// In which cgroups this process is, as the kernel words it.
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
                    for name in fields[1].split(separator: ",") {
                        if let controller = LegacyController(rawValue: String(name)) {
                            legacy.append((controller, String(fields[2])))
                        }
                    }
                }
            }
            guard let own, own.hasPrefix("/") else { return nil }
            unified = own
        }
    }

    /// The caller's own cgroup in cgroup2, from the mount point on; `nil` where it is not below the mount point.
    package var ownPath: String? { own.path }

    /// The cgroup v2 that a process is in, as the kernel words it.
    package static func unifiedPath(of pid: ProcessID) throws(SystemError) -> String {
        let file = "/proc/\(pid)/cgroup"
        let line = try readTextFile(file).split(separator: "\n").first { $0.hasPrefix("0::") }
        guard let line else { throw SystemError("read", path: file, errno: .noData) }
        return String(line.dropFirst(3))
    }

    /// The job of cgrun's that the caller is in, as far as the namespace or the mount shows its name.
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

    /// How the caller's own cgroup was handed over to it, for people; `nil` where it was not.
    package var delegation: String? {
        guard let place = try? placeOfJobs(), let own = try? CgroupDirectory(opening: place, .v2) else { return nil }
        if own.isMarkedDelegated { return "the unit around it is delegated (Delegate=)" }
        // Whoever asked a manager from here, of the machine outside, would escape from what limits the container.
        if place == mount, own.has("cgroup.type") { return "its cgroup namespace begins with its own cgroup" }
        return nil
    }

    /// The directory that `path` stands for, which is as in `/proc/PID/cgroup`, or begins with the mount point.
    ///
    /// - Throws: `.outsideMount`.
    package func absolute(_ path: String) throws(CgroupError) -> String {
        if path == mount || path.hasPrefix(mount + "/") { return path }
        guard let location = unified.locate(path) else {
            throw CgroupError(.outsideMount(path: path, mount: mount))
        }
        return location == "/" ? mount : mount + location
    }
}
