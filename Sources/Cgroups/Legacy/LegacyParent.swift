internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// The caller's own group in one v1 hierarchy.
struct LegacyParent: Sendable {
    let controller: LegacyController
    let directory: CgroupDirectory
    private let limit: LimitName
    /// For a parent that is only looked through, or whose group is there already: no error of it names a limit.
    static let noLimit = LimitKind.memoryMax.name

    init(_ controller: LegacyController, _ directory: CgroupDirectory, limit: LimitName) {
        self.controller = controller
        self.directory = directory
        self.limit = limit
    }

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
        _ controller: LegacyController, in layout: Hierarchies, limit: LimitName
    ) throws(CgroupError) -> LegacyParent {
        guard let own = layout.legacyPaths.first(where: { $0.controller == controller })?.own else {
            throw CgroupError(
                .controllerMissing(
                    controller.modern, limit: limit, path: Hierarchies.root,
                    available: layout.legacyPaths.map(\.controller.rawValue).sorted().joined(separator: " ")))
        }
        let below = try own.path(below: controller.mount)
        let path = below == "/" ? controller.mount : controller.mount + below
        do { return LegacyParent(controller, try CgroupDirectory(opening: path, .v1), limit: limit) } catch {
            throw CgroupError(error)
        }
    }

    /// - Throws: when cgroup v1 cannot express one of the limits.
    func check(_ limits: ResolvedLimits) throws(CgroupError) { _ = try settings(for: limits) }

    /// The caller's own groups in all hierarchies, whatever the limits, to be swept for leftovers.
    static func all(in layout: Hierarchies) -> [LegacyParent] {
        LegacyController.allCases.compactMap { try? open($0, in: layout, limit: LegacyParent.noLimit) }
    }

    /// The v1 settings for the limits of this controller, in the order of writing.
    func settings(for limits: ResolvedLimits) throws(CgroupError) -> [LegacySetting] {
        var settings: [LegacySetting] = []
        for kind in LimitKind.inOrderOfWriting where kind.controller == controller.modern {
            let limit = limits.name(of: kind)
            let values: [LimitKind.LegacyValue]
            do { values = try kind.legacyValues(limits.values) } catch {
                throw CgroupError(.legacyUnsupported(limit: kind.name, reason: error.reason))
            }
            for value in values {
                if kind.isMissingWithoutSwap, !directory.has(value.file) {
                    guard limits.values.swapMax == .value(.bytes(0)), !Machine.hasSwap else {
                        throw CgroupError(.knobMissing(file: value.file, limit: limit))
                    }
                    continue
                }
                let text = value.text ?? (try? directory.read(value.copied)) ?? "0"
                settings.append(
                    LegacySetting(
                        file: value.file, value: text, limit: limit, readBack: kind.readBack,
                        origin: limits.origins[kind]))
            }
        }
        return settings
    }

    func steps(name: String, limits: ResolvedLimits) throws(CgroupError) -> [PlannedCgroup.Step] {
        let path = directory.path(of: name)
        return [PlannedCgroup.Step(path: path)]
            + (try settings(for: limits)).map {
                PlannedCgroup.Step(path: "\(path)/\($0.file)", value: $0.value, origin: $0.origin)
            }
    }

    func makeGroup(name: String, limits: ResolvedLimits) throws(CgroupError) -> LegacyGroup {
        let group: LegacyGroup
        do {
            group = LegacyGroup(
                controller, parent: directory, directory: try directory.makeLockedChild(name))
        } catch {
            switch error.errno {
            case .permissionDenied, .notPermitted:
                throw CgroupError(.legacyNotWritable(controller.modern, limit: limit, path: directory.path))
            default: throw CgroupError.writing(error, in: directory.path)
            }
        }
        do {
            for setting in try settings(for: limits) { try group.apply(setting) }
            return group
        } catch {
            try? group.remove(name)
            throw error
        }
    }
}
