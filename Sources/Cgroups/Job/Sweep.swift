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
        var found = find(in: planned.place.parent, isLegacy: false, everywhere: false)
        // A job's cgroup v2 is removed last: where none is left over, no v1 group is left over either.
        guard !found.isEmpty else { return [] }
        if planned.place.layout.mode == .hybrid {
            for legacy in LegacyParent.all(in: planned.place.layout) {
                found += find(in: legacy.directory, isLegacy: true, everywhere: false)
            }
        }
        return end(found)
    }

    /// Sweeps every hierarchy from its mount point on.
    ///
    /// - Parameter dryRun: only say what would be killed and removed.
    package static func everywhere(in layout: Hierarchies, dryRun: Bool) throws(CgroupError) -> [Leftover] {
        var found: [Found]
        do {
            found = find(in: try CgroupDirectory(opening: layout.mount, .v2), isLegacy: false, everywhere: true)
            for controller in layout.legacyPaths.map(\.controller) {
                found += find(in: try CgroupDirectory(opening: controller.mount, .v1), isLegacy: true, everywhere: true)
            }
        } catch { throw CgroupError(error) }
        return dryRun ? found.map(\.leftover) : end(found)
    }

    /// A leftover, locked, so that no other sweep takes it.
    fileprivate struct Found {
        let name: String
        let parent: CgroupDirectory
        /// `nil` where the cgroup cannot be opened.
        let directory: CgroupDirectory?
        let isLegacy: Bool
        var leftover: Leftover
    }

    // MARK: Finding

    /// - Parameter everywhere: whether to look below other cgroups, too, and for jobs that have renamed their cgroups.
    private static func find(in parent: CgroupDirectory, isLegacy: Bool, everywhere: Bool) -> [Found] {
        var found: [Found] = []
        for name in (try? parent.children()) ?? [] where everywhere || JobName.isJob(name) {
            if let one = look(at: name, in: parent, isLegacy: isLegacy) {
                found.append(one)
            } else if everywhere, let child = try? parent.openChild(name) {
                found += find(in: child, isLegacy: isLegacy, everywhere: true)
            }
        }
        return found
    }

    /// - Returns: `nil` if somebody looks after this cgroup, if the caller is in it, or if it is not cgrun's.
    private static func look(at name: String, in parent: CgroupDirectory, isLegacy: Bool) -> Found? {
        let child: CgroupDirectory
        do { child = try JobName.isJob(name) ? parent.openJob(name) : parent.openChild(name) } catch {
            switch error.errno {
            // The cgroup is gone, or belongs to another user, who may sweep it.
            case .noSuchFileOrDirectory, .permissionDenied, .notPermitted: return nil
            default:
                let leftover = Leftover(text: parent.path(of: name), failure: error.description)
                return Found(name: name, parent: parent, directory: nil, isLegacy: isLegacy, leftover: leftover)
            }
        }
        guard child.isMarkedJob, (try? child.descriptor.tryLock()) == true else { return nil }
        let members = child.allProcesses()
        guard !members.contains(ThisProcess.id) else { return nil }
        let names = members.filter { $0 > 0 }.map { "\($0) \((ProcessTable.commandName($0) ?? "?").asName)" }
        let text = names.isEmpty ? child.path : "\(child.path) with \(names.joined(separator: ", "))"
        return Found(
            name: name, parent: parent, directory: child, isLegacy: isLegacy, leftover: Leftover(text: text))
    }

    // MARK: Ending

    /// How long all processes may take to die, however many leftovers there are.
    private static let patience = Duration.seconds(5)

    private static func end(_ found: [Found]) -> [Leftover] {
        // All are killed before any is waited for.
        for one in found where !one.isLegacy { try? one.directory?.write("1", to: "cgroup.kill") }
        let deadline = BootTime.now + patience
        return found.map { one in
            var leftover = one.leftover
            do throws(SystemError) { try one.remove(by: deadline) } catch { leftover.failure = error.description }
            return leftover
        }
    }
}

extension Sweep.Found {
    fileprivate func remove(by deadline: BootTime) throws(SystemError) {
        guard let directory else { return }
        guard !isLegacy else {
            directory.killLegacyMembers(until: deadline)
            return try parent.removeChild(name)
        }
        let left = max(.zero, deadline - .now)
        let bounds = TreeEnding.Bounds(death: left, removal: min(left, .seconds(1)), longestPause: .milliseconds(100))
        let job = JobCgroup(parent: parent, directory: directory, name: name, legacy: [], parentSharesLimits: false)
        try job.end(bounds)
    }
}
