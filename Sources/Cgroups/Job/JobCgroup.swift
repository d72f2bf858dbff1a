internal import CLinux
internal import Glibc
package import LinuxSystem
package import SandboxValues
internal import SystemPackage

/// The cgroups of one job: that of cgroup v2 and, on hybrid machines, one for each v1 controller that limits the job.
///
/// Whoever has the directories open holds their locks; a sweep takes a cgroup of cgrun's that nobody has locked for a
/// leftover. No control file is kept open, since a host program may have thousands of jobs.
package struct JobCgroup: ~Copyable, Sendable {
    package let name: String
    let parent: CgroupDirectory
    package let directory: CgroupDirectory
    let legacy: [LegacyGroup]
    /// Whether the parent is there for this job alone, with the same limits.
    let parentSharesLimits: Bool
    /// The v2 controllers that account for this cgroup.
    private(set) var modernControllers: [String]
    /// How many forks the cgroups above had refused when the job began, nearest first; none in the finisher.
    let refusalsBefore: [PIDsRefusals]

    /// - Parameter modernControllers: `nil` to look them up.
    init(
        parent: CgroupDirectory, directory: CgroupDirectory, name: String, legacy: [LegacyGroup],
        parentSharesLimits: Bool, modernControllers: [String]? = nil,
        refusalsBefore: [PIDsRefusals] = []
    ) {
        self.refusalsBefore = refusalsBefore
        self.modernControllers = modernControllers ?? Self.controllers(of: directory) ?? []
        self.name = name
        self.parent = parent
        self.directory = directory
        self.legacy = legacy
        self.parentSharesLimits = parentSharesLimits
    }

    /// Takes over the cgroups that a guard has handed to the finisher.
    ///
    /// - Parameters:
    ///   - tags: which hierarchy each parent and each directory is in; cgroup v2 first.
    ///   - path: the path of the job's cgroup v2, for messages.
    ///   - parentSharesLimits: as in `PlannedCgroup`.
    package init(
        adopting name: String, path: String, tags: [UInt8], parents: [CInt], directories: [CInt],
        parentSharesLimits: Bool
    ) {
        let parentPath = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
        let groups = tags.indices.dropFirst().compactMap { index in
            LegacyController.allCases.first { $0.tag == tags[index] }.map { controller in
                LegacyGroup(
                    parent: LegacyParent(
                        controller: controller,
                        directory: CgroupDirectory(adopting: parents[index], path: controller.mount)),
                    directory: CgroupDirectory(
                        adopting: directories[index], path: "\(controller.mount)/\(name)", isOfJob: true))
            }
        }
        self.init(
            parent: CgroupDirectory(adopting: parents[0], path: parentPath),
            directory: CgroupDirectory(adopting: directories[0], path: path, isOfJob: true), name: name,
            legacy: groups, parentSharesLimits: parentSharesLimits)
    }

    private static func controllers(of directory: CgroupDirectory) -> [String]? {
        (try? directory.read("cgroup.controllers"))?.split(separator: " ").map(String.init)
    }

    package var path: String { directory.path }

    /// The controllers that limit this job or account for it.
    package var controllers: [String] { legacy.isEmpty ? modernControllers : legacy.map(\.controller.rawValue) }

    // MARK: For launching and for the guard

    /// The `tasks` files of the job's v1 groups, opened: the job's first process enters the groups by them before exec.
    package func joinFiles() throws(CgroupError) -> [SharedDescriptor] {
        try legacy.map { group throws(CgroupError) in try group.openTasks() }
    }

    /// The hierarchies of the cgroups, as in `PlannedCgroup.tags`.
    package var tags: [UInt8] { [UInt8(ascii: "u")] + legacy.map(\.controller.tag) }

    /// The directory of each cgroup, in the order of `PlannedCgroup.tags`.
    package var directories: [CgroupDirectory] { [directory] + legacy.map(\.directory) }

    // MARK: Ending

    /// Kills every process in the tree at once, forks in progress included (`cgroup.kill`, Linux 5.14).
    ///
    /// Returns before the processes are gone. A cgroup that is gone already is no error.
    package func kill() throws(SystemError) {
        do { try directory.write("1", to: "cgroup.kill") } catch
            where error.errno.rawValue == ENODEV || error.errno == .noSuchFileOrDirectory
        {}
        clinux_kill_headless(directory.descriptor.rawValue)
    }

    /// Whether a process is left in the tree; zombies do not count, and a cgroup that is gone has none.
    ///
    /// - Parameter bound: how long to wait for the tree's end.
    /// - Throws: when that cannot be found out. Then the tree must not be taken for empty.
    package func isPopulated(after bound: Duration = .zero) throws(SystemError) -> Bool {
        do {
            let events = try directory.open("cgroup.events", O_RDONLY)
            return clinux_wait_until_empty(events.rawValue, bound.nanoseconds) != 1
        } catch  where error.errno.rawValue == ENODEV || error.errno == .noSuchFileOrDirectory { return false }
    }

    /// The processes in the tree, as far as this pid namespace shows them.
    package var members: [ProcessID] { directory.allProcesses().filter { $0 > 0 } }

    // MARK: While it runs

    /// Stops every process in the tree, new ones included, or lets them go on (`cgroup.freeze`, Linux 5.2). Returns
    /// before the processes stand still. A kill reaches frozen processes as well.
    package func setFrozen(_ isFrozen: Bool) throws(SystemError) {
        try directory.write(isFrozen ? "1" : "0", to: "cgroup.freeze")
    }

    /// Whether every process in the tree stands still.
    package var isFrozen: Bool {
        (try? directory.read("cgroup.events"))?.split(separator: "\n").contains("frozen 1") == true
    }

    /// Changes the limits that are given, and reads each back; the other limits stay as they are.
    ///
    /// - Throws: why a limit cannot be enforced; the limits before it are changed then. On hybrid machines a limit
    ///   needs a group, and a job has groups only for the controllers that it was started with.
    package mutating func update(_ limits: ResolvedLimits, mode: Hierarchies.Mode) throws(CgroupError) {
        guard mode == .hybrid else {
            try Delegation.prepare(parent, for: limits)
            // A controller that was enabled just now accounts for the job from here on, even if its limit is refused.
            modernControllers = Self.controllers(of: directory) ?? modernControllers
            return try limits.apply(to: directory)
        }
        for setting in limits.settings where !legacy.contains(where: { $0.controller.modern == setting.controller }) {
            throw CgroupError(
                .legacyUnsupported(
                    limit: setting.limit, reason: "the job was started without a limit of this kind, not even max"))
        }
        for group in legacy { try group.update(limits) }
    }

    /// Removes the cgroups, leaf first, that of cgroup v2 last. A cgroup that is gone is no error.
    ///
    /// - Throws: `EBUSY` while a process is left in any of them.
    package func remove() throws(SystemError) {
        for group in legacy { try group.remove(name) }
        try parent.removeChild(name)
    }
}
