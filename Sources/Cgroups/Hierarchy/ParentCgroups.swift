internal import LinuxSystem
package import SandboxValues
internal import SystemPackage

/// The parents of jobs' cgroups in every hierarchy that their limits need, opened.
package struct ParentCgroups: Sendable {
    package let layout: Hierarchies
    let parent: CgroupDirectory
    let legacyParents: [LegacyParent]

    /// - Parameters:
    ///   - parentPath: a cgroup as in `/proc/PID/cgroup`; `nil` for the caller's own.
    ///   - limits: what the jobs' limits need; the values do not matter.
    /// - Throws: when a parent cannot be opened.
    package init(_ layout: Hierarchies, parentPath: String?, limits: ResolvedLimits) throws(CgroupError) {
        let path: String
        if let parentPath { path = try layout.absolute(parentPath) } else { path = try layout.placeOfJobs() }
        // The system call would see another name.
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

    /// Whether all parents are still there: a removed one has no files.
    package var exists: Bool {
        ([parent] + legacyParents.map(\.directory)).allSatisfy { $0.has("cgroup.procs") }
    }

    /// The path of the cgroup v2 among the parents.
    package var path: String { parent.path }

    /// Out of the leaf that an earlier cgrun moved this process to.
    static func ownParent(_ own: String) -> String {
        let suffix = "/" + JobName.leaf
        guard own.hasSuffix(suffix) else { return own }
        return own.count == suffix.count ? "/" : String(own.dropLast(suffix.count))
    }
}
