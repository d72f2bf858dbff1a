internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// Finds and ends jobs whose launcher died together with its guard.
///
/// Whoever looks after a job locks its cgroup, and the kernel drops the lock when the last such process is gone. So a
/// cgroup of cgrun's that can be locked is a leftover; a sweep never touches any other cgroup.
package enum Sweep {
    package struct Leftover: Sendable {
        /// The path of the cgroup, and the processes that were found in it.
        package let text: String
        /// Why the cgroup could not be removed.
        package fileprivate(set) var failure: String?
    }

    /// Sweeps the leftovers beside a job that is about to start.
    package static func siblings(of planned: PlannedCgroup) -> [Leftover] {
        var found = sweep(planned.place.parent, isLegacy: false, recursively: false, dryRun: false)
        // A job's cgroup v2 is removed last: where none is left over, no v1 group is left over either.
        guard !found.isEmpty, planned.place.layout.mode == .hybrid else { return found }
        for legacy in LegacyParent.all(in: planned.place.layout) {
            found += sweep(legacy.directory, isLegacy: true, recursively: false, dryRun: false)
        }
        return found
    }

    /// Sweeps every hierarchy from its mount point on.
    ///
    /// - Parameter dryRun: only say what would be killed and removed.
    package static func everywhere(in layout: Hierarchies, dryRun: Bool) throws(CgroupError) -> [Leftover] {
        do {
            var found = sweep(
                try CgroupDirectory(opening: layout.mount, .v2), isLegacy: false, recursively: true, dryRun: dryRun)
            for controller in layout.legacyPaths.map(\.controller) {
                found += sweep(
                    try CgroupDirectory(opening: controller.mount, .v1), isLegacy: true, recursively: true,
                    dryRun: dryRun)
            }
            return found
        } catch { throw CgroupError(error) }
    }

    private static func sweep(
        _ parent: CgroupDirectory, isLegacy: Bool, recursively: Bool, dryRun: Bool
    ) -> [Leftover] {
        var found: [Leftover] = []
        for name in (try? parent.children()) ?? [] {
            if JobName.isJob(name), let leftover = end(name, in: parent, isLegacy: isLegacy, dryRun: dryRun) {
                found.append(leftover)
            } else if recursively, let child = try? parent.openChild(name) {
                found += sweep(child, isLegacy: isLegacy, recursively: true, dryRun: dryRun)
            }
        }
        return found
    }

    private static let bounds = TreeEnding.Bounds(
        death: .seconds(5), removal: .seconds(1), longestPause: .milliseconds(100))

    /// - Returns: `nil` if somebody looks after this cgroup, if the caller is in it, or if it is not cgrun's.
    private static func end(_ name: String, in parent: CgroupDirectory, isLegacy: Bool, dryRun: Bool) -> Leftover? {
        let child: CgroupDirectory
        do { child = try parent.openJob(name) } catch {
            switch error.errno {
            // The cgroup is gone, or belongs to another user, who may sweep it.
            case .noSuchFileOrDirectory, .permissionDenied, .notPermitted: return nil
            default: return Leftover(text: parent.path(of: name), failure: error.description)
            }
        }
        guard child.isMarkedJob, (try? child.descriptor.tryLock()) == true else { return nil }
        let members = child.allProcesses()
        guard !members.contains(ThisProcess.id) else { return nil }
        let found = members.filter { $0 > 0 }.map { "\($0) \((ProcessTable.commandName($0) ?? "?").asName)" }
        var leftover = Leftover(
            text: found.isEmpty ? child.path : "\(child.path) with \(found.joined(separator: ", "))")
        guard !dryRun else { return leftover }
        do {
            if isLegacy {
                child.killLegacyMembers()
                try parent.removeChild(name)
            } else {
                let job = JobCgroup(parent: parent, directory: child, name: name, legacy: [], parentSharesLimits: false)
                try job.end(bounds)
            }
        } catch { leftover.failure = error.description }
        return leftover
    }
}
