internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// The caller's own group in one v1 hierarchy.
struct LegacyParent: Sendable {
    let controller: LegacyController
    let directory: CgroupDirectory
    /// The limit that needs this group, for errors. None names a parent that is only looked through, or whose group is
    /// there already.
    var limit = LimitKind.memoryMax.name

    /// Opens the caller's own groups in the hierarchies that these limits need.
    static func open(for limits: ResolvedLimits, in layout: Hierarchies) throws(CgroupError) -> [LegacyParent] {
        var parents: [LegacyParent] = []
        for controller in LegacyController.allCases {
            guard let first = limits.settings.first(where: { $0.controller == controller.modern }) else { continue }
            parents.append(try open(controller, in: layout, limit: first.limit))
        }
        return parents
    }

    private static func open(
        _ controller: LegacyController, in layout: Hierarchies, limit: LimitName = LimitKind.memoryMax.name
    ) throws(CgroupError) -> LegacyParent {
        guard let own = layout.legacyPaths.first(where: { $0.controller == controller })?.own else {
            throw CgroupError(
                .controllerMissing(
                    controller.modern, limit: limit, path: Hierarchies.root,
                    available: layout.legacyPaths.map(\.controller.rawValue).sorted().joined(separator: " ")))
        }
        let below = try own.path(below: controller.mount)
        let path = below == "/" ? controller.mount : controller.mount + below
        do {
            let directory = try CgroupDirectory(opening: path, .v1)
            return LegacyParent(controller: controller, directory: directory, limit: limit)
        } catch { throw CgroupError(error) }
    }

    /// The caller's own groups in all hierarchies, whatever the limits, to be swept for leftovers.
    static func all(in layout: Hierarchies) -> [LegacyParent] {
        LegacyController.allCases.compactMap { try? open($0, in: layout) }
    }

    /// The v1 settings for the limits of this controller, in the order of writing.
    ///
    /// - Throws: when cgroup v1 cannot express one of the limits.
    func settings(for limits: ResolvedLimits) throws(CgroupError) -> [CgroupSetting] {
        var settings: [CgroupSetting] = []
        for kind in LimitKind.inOrderOfWriting where kind.controller == controller.modern {
            let values: [LimitKind.LegacyValue]
            do { values = try kind.legacyValues(limits.values) } catch {
                throw CgroupError(.legacyUnsupported(limit: kind.name, reason: error.reason))
            }
            for value in values {
                let text = value.text ?? (try? directory.read(value.copied)) ?? "0"
                let setting = CgroupSetting(kind, value.file, text, of: limits, isLegacy: true)
                if try !setting.isNeedless(in: directory) { settings.append(setting) }
            }
        }
        return settings
    }

    func steps(name: String, limits: ResolvedLimits) throws(CgroupError) -> [PlannedCgroup.Step] {
        let path = directory.path(of: name)
        return [PlannedCgroup.Step(path: path)] + (try settings(for: limits)).map { $0.step(in: path) }
    }

    func makeGroup(name: String, limits: ResolvedLimits) throws(CgroupError) -> LegacyGroup {
        let group: LegacyGroup
        do { group = LegacyGroup(parent: self, directory: try directory.makeJob(name)) } catch {
            let failure = CgroupError.writing(error, in: directory.path)
            guard case .notDelegated = failure.kind else { throw failure }
            throw CgroupError(.legacyNotWritable(controller.modern, limit: limit, path: directory.path))
        }
        do {
            for setting in try settings(for: limits) { try setting.apply(to: group.directory) }
            return group
        } catch {
            try? group.remove(name)
            throw error
        }
    }
}
