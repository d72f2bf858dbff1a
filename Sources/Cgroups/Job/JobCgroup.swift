internal import CLinux
internal import Glibc
package import LinuxSystem
package import SandboxValues
internal import SystemPackage

/// The cgroup of one job.
///
/// Whoever holds it holds its lock; a cgroup of cgrun's that nobody holds is a leftover. What it
/// holds open is that lock alone: a host may have thousands of jobs.
package struct JobCgroup: ~Copyable, Sendable {
    package let name: String
    let parent: CgroupDirectory
    package let directory: CgroupDirectory
    let legacy: [LegacyGroup]
    let parentSharesLimits: Bool
    /// The v2 controllers that account for this cgroup.
    private(set) var modernControllers: [String]

    /// - Parameter modernControllers: `nil` to look them up.
    init(
        parent: CgroupDirectory, directory: CgroupDirectory, name: String, legacy: [LegacyGroup],
        parentSharesLimits: Bool, modernControllers: [String]? = nil
    ) {
        self.modernControllers = modernControllers ?? Self.controllers(of: directory) ?? []
        self.name = name
        self.parent = parent
        self.directory = directory
        self.legacy = legacy
        self.parentSharesLimits = parentSharesLimits
    }

    /// Takes over what a guard held.
    ///
    /// - Parameters:
    ///   - tags: what each parent and directory is; the unified hierarchy first.
    ///   - path: of the unified cgroup, for messages.
    ///   - parentSharesLimits: as for the site.
    package init(
        adopting name: String, path: String, tags: [UInt8], parents: [CInt], directories: [CInt],
        parentSharesLimits: Bool
    ) {
        let parentPath = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
        let groups = tags.indices.dropFirst().compactMap { index in
            LegacyController(tag: tags[index]).map { controller in
                LegacyGroup(
                    controller,
                    parent: CgroupDirectory(adopting: parents[index], path: controller.mount),
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

    /// The controllers that limit or account this job.
    package var controllers: [String] { legacy.isEmpty ? modernControllers : legacy.map(\.controller.rawValue) }

    // MARK: For launching and for the guard

    /// `tasks` files that the job's first process must enter before exec.
    package func joinFiles() throws(CgroupError) -> JoinFiles {
        JoinFiles(try legacy.map { group throws(CgroupError) in try group.openTasks() })
    }

    /// Descriptors that are open as long as this value lives.
    package final class JoinFiles: Sendable {
        private let files: [SharedDescriptor]
        init(_ files: [SharedDescriptor]) { self.files = files }
        package var rawValues: [CInt] { files.map { $0.descriptor.rawValue } }
    }

    /// The directory of each cgroup, in the order of the site's tags.
    package var directories: [CgroupDirectory] { [directory] + legacy.map(\.directory) }

    // MARK: Ending

    /// Kills every process in the tree at once, forks in progress included (`cgroup.kill`, Linux 5.14).
    ///
    /// Returns before they are gone. A cgroup that is gone already is no error.
    package func kill() throws(SystemError) {
        do { try directory.write("1", to: "cgroup.kill") } catch
            where error.errno.rawValue == ENODEV || error.errno == .noSuchFileOrDirectory
        {}
    }

    /// Opens `cgroup.events`, which signals priority data when `populated` changes.
    ///
    /// - Returns: `nil` when the cgroup is gone.
    package func openEvents() throws(SystemError) -> CgroupEvents? {
        do { return CgroupEvents(try directory.open("cgroup.events", O_RDONLY)) } catch
            where error.errno.rawValue == ENODEV || error.errno == .noSuchFileOrDirectory
        { return nil }
    }

    /// Whether a process is left in the tree; zombies do not count.
    ///
    /// - Throws: when that cannot be told. The tree may not be taken for empty then.
    package func isPopulated() throws(SystemError) -> Bool {
        try openEvents()?.waitUntilEmpty(atMost: .zero) == false
    }

    /// - Returns: `false` if a process was still there at the end of `bound`, or nobody can tell.
    package func waitUntilEmpty(atMost bound: Duration) -> Bool {
        do { return try openEvents()?.waitUntilEmpty(atMost: bound) ?? true } catch {
            var pause = Poller()
            _ = pause.wait(min(bound, .milliseconds(10)))
            return false
        }
    }

    /// The processes in the tree, as far as this pid namespace shows them.
    package var members: [ProcessID] { directory.allProcesses().filter { $0 > 0 } }

    // MARK: While it runs

    /// Stops every process in the tree, new ones included, or lets them go on (`cgroup.freeze`, Linux 5.2).
    /// Returns before they stand still. A kill reaches frozen processes as well.
    package func setFrozen(_ isFrozen: Bool) throws(SystemError) {
        try directory.write(isFrozen ? "1" : "0", to: "cgroup.freeze")
    }

    /// Whether every process in the tree stands still.
    package var isFrozen: Bool {
        (try? directory.read("cgroup.events"))?.split(separator: "\n").contains("frozen 1") == true
    }

    /// Changes the limits that are given, and reads each back; others stay as they are.
    ///
    /// - Throws: why one cannot be enforced; those before it are changed then. On hybrid machines a
    ///   job has groups only for the controllers that it was started with.
    package mutating func update(_ limits: ResolvedLimits, mode: Hierarchies.Mode) throws(CgroupError) {
        guard mode == .hybrid else {
            try Delegation.prepare(parent, for: limits)
            // What was enabled just now accounts for the job from here on, whatever becomes of the limits.
            modernControllers = Self.controllers(of: directory) ?? modernControllers
            return try PlannedCgroup.apply(limits, to: directory)
        }
        for setting in limits.settings where !legacy.contains(where: { $0.controller.modern == setting.controller }) {
            throw CgroupError(
                .legacyUnsupported(
                    limit: setting.limit, reason: "the job was started without a limit of this kind, not even max"))
        }
        for group in legacy { try group.update(limits) }
    }

    /// Removes the cgroups, leaf first, the locked one last. Ones that are gone are no error.
    ///
    /// - Throws: `EBUSY` while a process is left in any of them.
    package func remove() throws(SystemError) {
        for group in legacy { try group.remove(name) }
        try parent.removeChild(name)
    }
}

/// An open `cgroup.events`.
package struct CgroupEvents: ~Copyable, Sendable {
    package let descriptor: Descriptor

    init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// - Returns: `false` if a process was still there at the end of `bound`.
    package func waitUntilEmpty(atMost bound: Duration) -> Bool {
        clinux_wait_until_empty(descriptor.rawValue, bound.nanoseconds) == 1
    }
}
