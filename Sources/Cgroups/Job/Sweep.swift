package import LinuxSystem
internal import SystemPackage

/// Finding and ending what launchers left that died together with their guard.
///
/// A job's cgroup is locked by whoever looks after it, and the kernel drops the
/// lock with the last of them. So a cgroup that can be locked is nobody's;
/// one that cannot be is alive, and is never touched.
package enum Sweep {
    package struct Leftover: Sendable, Equatable {
        package var path: String
        /// The processes that were found in it.
        package var processes: [Process]
        /// Why it could not be removed.
        package var failure: String?

        /// The path and the processes.
        package var text: String {
            let found = processes.map { "\($0.pid) \($0.command)" }.joined(separator: ", ")
            return found.isEmpty ? path : "\(path) with \(found)"
        }

        package struct Process: Sendable, Equatable {
            package var pid: ProcessID
            package var command: String
        }
    }

    /// Sweeps the leftovers beside a job that is about to start.
    package static func siblings(of site: PlannedCgroup) -> [Leftover] {
        var found = sweep(site.parent, isLegacy: false, recursively: false, dryRun: false)
        // A job's unified cgroup goes last; without one there are no v1 groups of it either.
        guard !found.isEmpty, site.layout.mode == .hybrid else { return found }
        for legacy in LegacyParent.all(in: site.layout) {
            found += sweep(legacy.directory, isLegacy: true, recursively: false, dryRun: false)
        }
        return found
    }

    /// Sweeps every hierarchy from its mount point on.
    ///
    /// - Parameter dryRun: only tell what would be killed and removed.
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

    /// - Returns: `nil` if somebody looks after this cgroup, or if the caller is in it.
    private static func end(
        _ name: String, in parent: CgroupDirectory, isLegacy: Bool, dryRun: Bool
    ) -> Leftover? {
        let child: CgroupDirectory
        do { child = try parent.openJob(name) } catch {
            switch error.errno {
            // Gone, or another user's, who may sweep it.
            case .noSuchFileOrDirectory, .permissionDenied, .notPermitted: return nil
            default: return Leftover(path: parent.path(of: name), processes: [], failure: error.description)
            }
        }
        guard (try? child.descriptor.tryLock()) == true else { return nil }
        let members = child.allProcesses()
        guard !members.contains(ThisProcess.id) else { return nil }
        var leftover = Leftover(
            path: child.path,
            processes: members.filter { $0 > 0 }.map {
                Leftover.Process(pid: $0, command: ProcessTable.commandName($0) ?? "?")
            })
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
