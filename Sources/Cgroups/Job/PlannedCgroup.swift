internal import LinuxSystem
package import SandboxValues
internal import SystemPackage

/// Where a job's cgroups will be: their parents, opened, and their common name. The cgroups are not made yet, so that
/// the guard can be told of the job before there is anything to lose.
package struct PlannedCgroup: Sendable {
    package let layout: Hierarchies
    package let name: String
    let parent: CgroupDirectory
    let legacyParents: [LegacyParent]
    package let limits: ResolvedLimits
    package let parentSharesLimits: Bool

    /// - Parameters:
    ///   - name: from `JobName`.
    ///   - parentSharesLimits: the parent is there for this job alone, with the same limits.
    /// - Throws: when cgroup v1 cannot express one of the limits.
    package init(
        _ place: ParentCgroups, name: String, limits: ResolvedLimits, parentSharesLimits: Bool = false
    ) throws(CgroupError) {
        for parent in place.legacyParents { try parent.check(limits) }
        self.layout = place.layout
        self.name = name
        self.limits = limits
        self.parentSharesLimits = parentSharesLimits
        self.parent = place.parent
        self.legacyParents = place.legacyParents
    }

    package var path: String { parent.path(of: name) }

    // MARK: For the guard

    /// The directories that the cgroups will be in, in the order of `tags`.
    package var parents: [CgroupDirectory] { [parent] + legacyParents.map(\.directory) }

    /// The hierarchies that the cgroups will be in, as the guard is told; cgroup v2 first.
    package var tags: [UInt8] { [CgroupTag.unified] + legacyParents.map(\.controller.tag) }

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
        if layout.mode == .unified {
            let missing = try Delegation.missingControllers(for: limits, in: parent)
            if !missing.isEmpty {
                steps.append(
                    Step(path: parent.path(of: "cgroup.subtree_control"), value: Delegation.text(missing)))
            }
        }
        steps.append(Step(path: path))
        if layout.mode == .unified {
            steps += limits.settings.map { $0.step(in: path) }
        } else {
            for legacy in legacyParents { steps += try legacy.steps(name: name, limits: limits) }
        }
        return steps
    }

    // MARK: Making

    /// Makes the cgroups, writes the limits and reads each back.
    ///
    /// - Throws: why a limit cannot be enforced; nothing is left behind then.
    package func create() throws(CgroupError) -> JobCgroup {
        if layout.mode == .unified { try Delegation.prepare(parent, for: limits) }
        let directory = try makeDirectory()
        var groups: [LegacyGroup] = []
        do throws(CgroupError) {
            if layout.mode == .unified {
                try Self.apply(limits, to: directory)
            } else {
                for legacy in legacyParents {
                    groups.append(try legacy.makeGroup(name: name, limits: limits))
                }
            }
            return try job(directory, groups)
        } catch {
            for group in groups { try? group.remove(name) }
            try? parent.removeChild(name)
            throw error
        }
    }

    /// Finds out whether `create` would succeed, and leaves everything as it is: no controller is
    /// enabled and no process moved, even where `create` would.
    package func probe() throws(CgroupError) {
        if layout.mode == .unified, try Delegation.needsChange(parent, for: limits) {
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

    private func makeDirectory() throws(CgroupError) -> CgroupDirectory {
        do { return try parent.makeLockedChild(name) } catch {
            throw CgroupError.writing(error, in: parent.path)
        }
    }

    private func job(
        _ directory: CgroupDirectory, _ groups: [LegacyGroup]
    ) throws(CgroupError) -> JobCgroup {
        // On hybrid machines, all controllers that a job could use belong to cgroup v1.
        let controllers: [String]? = layout.mode == .hybrid ? [] : nil
        return JobCgroup(
            parent: parent, directory: directory, name: name, legacy: groups, parentSharesLimits: parentSharesLimits,
            modernControllers: controllers)
    }

    static func apply(_ limits: ResolvedLimits, to directory: CgroupDirectory) throws(CgroupError) {
        for setting in limits.settings {
            if setting.isMissingWithoutSwap, !directory.has(setting.file) {
                guard setting.value == "0", !Machine.hasSwap else {
                    throw CgroupError(.knobMissing(file: setting.file, limit: setting.limit))
                }
                continue
            }
            let got: String
            do {
                try directory.write(setting.value, to: setting.file)
                got = try directory.read(setting.file)
            } catch {
                throw CgroupError.setting(error, setting.file, limit: setting.limit, in: directory.path)
            }
            guard setting.readBack.has(setting.value, in: got, pageSize: UInt64(Machine.pageSize)) else {
                throw CgroupError(
                    .notApplied(
                        file: directory.path(of: setting.file), wanted: setting.value, got: got,
                        limit: setting.limit))
            }
        }
        try checkProcessors(limits, directory)
    }

    /// The kernel takes any `cpuset.cpus` and then uses what the cgroups above leave of it.
    private static func checkProcessors(
        _ limits: ResolvedLimits, _ directory: CgroupDirectory
    ) throws(CgroupError) {
        guard let wanted = limits.values.cpuset else { return }
        let effective = (try? directory.read("cpuset.cpus.effective")) ?? ""
        guard effective != wanted.kernelText else { return }
        throw CgroupError(
            .notApplied(
                file: directory.path(of: "cpuset.cpus.effective"), wanted: wanted.kernelText, got: effective,
                limit: LimitKind.cpuset.name))
    }
}
