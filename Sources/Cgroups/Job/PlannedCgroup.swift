internal import LinuxSystem
package import SandboxValues
internal import SystemPackage

/// Where a job's cgroups will be: their parents, opened, and their common name. The cgroups are not made yet, so that
/// the guard can be told of the job before there is anything to lose.
package struct PlannedCgroup: Sendable {
    package let name: String
    let place: ParentCgroups
    package let limits: ResolvedLimits
    package let parentSharesLimits: Bool

    /// - Parameters:
    ///   - name: from `JobName`.
    ///   - parentSharesLimits: the parent is there for this job alone, with the same limits.
    /// - Throws: when cgroup v1 cannot express one of the limits.
    package init(
        _ place: ParentCgroups, name: String, limits: ResolvedLimits, parentSharesLimits: Bool = false
    ) throws(CgroupError) {
        for parent in place.legacyParents { _ = try parent.settings(for: limits) }
        self.place = place
        self.name = name
        self.limits = limits
        self.parentSharesLimits = parentSharesLimits
    }

    package var path: String { parent.path(of: name) }

    private var parent: CgroupDirectory { place.parent }
    private var isUnified: Bool { place.layout.mode == .unified }

    // MARK: For the guard

    /// The directories that the cgroups will be in, in the order of `tags`.
    package var parents: [CgroupDirectory] { place.directories }

    /// The hierarchies that the cgroups will be in, as the guard is told; cgroup v2 first.
    package var tags: [UInt8] { [UInt8(ascii: "u")] + place.legacyParents.map(\.controller.tag) }

    // MARK: Planning

    /// One step of what `create` does.
    package struct Step: Sendable, Equatable, CustomStringConvertible {
        package var path: String
        /// What is written to the file at `path`; `nil` if `path` is a directory that is made.
        package var value: String?

        /// What the user gave, for messages, where it is not what is written: `50% of RAM`.
        package var origin: String?

        package var description: String {
            guard let value else { return "mkdir \(path)" }
            return "write \(value) > \(path)" + (origin.map { " (\($0))" } ?? "")
        }
    }

    /// The steps that `create` will take, in order.
    package func steps() throws(CgroupError) -> [Step] {
        var steps: [Step] = []
        if isUnified {
            let missing = try Delegation.missingControllers(for: limits, in: parent)
            if !missing.isEmpty {
                steps.append(Step(path: parent.path(of: "cgroup.subtree_control"), value: Delegation.text(missing)))
            }
        }
        steps.append(Step(path: path))
        if isUnified {
            steps += limits.settings.map { $0.step(in: path) }
        } else {
            for legacy in place.legacyParents { steps += try legacy.steps(name: name, limits: limits) }
        }
        return steps
    }

    // MARK: Making

    /// Makes the cgroups, writes the limits and reads each back.
    ///
    /// - Throws: why a limit cannot be enforced; nothing is left behind then.
    package func create() throws(CgroupError) -> JobCgroup {
        if isUnified { try Delegation.prepare(parent, for: limits) }
        let directory: CgroupDirectory
        do { directory = try parent.makeJob(name) } catch {
            throw CgroupError.writing(error, in: parent.path)
        }
        var groups: [LegacyGroup] = []
        do throws(CgroupError) {
            if isUnified {
                try limits.apply(to: directory)
                if parentSharesLimits { try adoptOOMPolicy(directory) }
            } else {
                for legacy in place.legacyParents {
                    groups.append(try legacy.makeGroup(name: name, limits: limits))
                }
            }
            // On hybrid machines, all controllers that a job could use belong to cgroup v1.
            return JobCgroup(
                parent: parent, directory: directory, name: name, legacy: groups,
                parentSharesLimits: parentSharesLimits, modernControllers: isUnified ? nil : [],
                refusalsBefore: isUnified ? JobCgroup.pidsRefusals(from: parent) : [])
        } catch {
            for group in groups { try? group.remove(name) }
            try? parent.removeChild(name)
            throw error
        }
    }

    /// The kernel kills all of a cgroup for want of memory only where the cgroup itself says so, whatever one above says.
    private func adoptOOMPolicy(_ directory: CgroupDirectory) throws(CgroupError) {
        guard parent.number("memory.oom.group") == 1 else { return }
        do { try directory.write("1", to: "memory.oom.group") } catch { throw CgroupError(error) }
    }

    /// Finds out whether `create` would succeed, and leaves everything as it is: no controller is
    /// enabled and no process moved, even where `create` would.
    package func probe() throws(CgroupError) {
        if isUnified, try Delegation.needsChange(parent, Delegation.missingControllers(for: limits, in: parent)) {
            try Delegation.checkPreparing(parent)
            return
        }
        let cgroup = try create()
        guard cgroup.directory.has("cgroup.kill") else {
            try? cgroup.remove()
            throw CgroupError(.kernelTooOld(release: Machine.kernelRelease))
        }
        do { try cgroup.remove() } catch { throw CgroupError(error) }
    }
}
