internal import LinuxSystem
package import SandboxValues
internal import SystemPackage

/// The cgroups in which jobs' cgroups are made, opened: one of cgroup v2 and, on hybrid machines, one for each v1
/// controller that the limits need.
package struct ParentCgroups: Sendable {
    package let layout: Hierarchies
    let parent: CgroupDirectory
    let legacyParents: [LegacyParent]

    /// - Parameters:
    ///   - parentPath: a cgroup as in `/proc/PID/cgroup`; `nil` for the caller's own.
    ///   - limits: limits of the kinds that the jobs will have; the values do not matter.
    /// - Throws: when a parent cannot be opened.
    package init(_ layout: Hierarchies, parentPath: String?, limits: ResolvedLimits) throws(CgroupError) {
        let path: String
        if let parentPath { path = try layout.absolute(parentPath) } else { path = try layout.placeOfJobs() }
        // For the system call, the path would end at the NUL.
        guard !path.utf8.contains(0) else { throw CgroupError(.parentNotFound(path: path)) }
        let legacyParents = layout.mode == .hybrid ? try LegacyParent.open(for: limits, in: layout) : []
        let parent: CgroupDirectory
        do { parent = try CgroupDirectory(opening: path, .v2) } catch {
            throw error.errno == .noSuchFileOrDirectory || error.errno == .notSupported
                ? CgroupError(.parentNotFound(path: path)) : CgroupError(error)
        }
        self.layout = layout
        self.parent = parent
        self.legacyParents = legacyParents
    }

    /// Whether all parents are still there: a cgroup that was removed has no files.
    package var exists: Bool {
        directories.allSatisfy { $0.has("cgroup.procs") }
    }

    /// All parents; that of cgroup v2 first.
    var directories: [CgroupDirectory] { [parent] + legacyParents.map(\.directory) }

    /// The path of the cgroup v2 among the parents.
    package var path: String { parent.path }

    /// The cgroup in which the caller's jobs are made: the caller's own, or the one above if an earlier cgrun moved the
    /// caller into a leaf.
    static func ownParent(_ own: String) -> String {
        let suffix = "/" + JobName.leaf
        guard own.hasSuffix(suffix) else { return own }
        return own.count == suffix.count ? "/" : String(own.dropLast(suffix.count))
    }
}
