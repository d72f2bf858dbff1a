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
        // A job's cgroup v2 is removed last: where none is left over, no v1 group is left over either.
        let found = sweep([planned.place.parent], isLegacy: false, everywhere: false, dryRun: false, by: nil)
        guard !found.leftovers.isEmpty, planned.place.layout.mode == .hybrid else { return found.leftovers }
        let groups = LegacyParent.all(in: planned.place.layout).map(\.directory)
        return found.leftovers
            + sweep(groups, isLegacy: true, everywhere: false, dryRun: false, by: found.deadline).leftovers
    }

    /// Sweeps every hierarchy from its mount point on.
    ///
    /// - Parameter dryRun: only say what would be killed and removed.
    package static func everywhere(in layout: Hierarchies, dryRun: Bool) throws(CgroupError) -> [Leftover] {
        let modern: CgroupDirectory
        var groups: [CgroupDirectory] = []
        do {
            modern = try CgroupDirectory(opening: layout.mount, .v2)
            for path in layout.legacyPaths { groups.append(try CgroupDirectory(opening: path.controller.mount, .v1)) }
        } catch { throw CgroupError(error) }
        let found = sweep([modern], isLegacy: false, everywhere: true, dryRun: dryRun, by: nil)
        return found.leftovers
            + sweep(groups, isLegacy: true, everywhere: true, dryRun: dryRun, by: found.deadline).leftovers
    }

    /// How many leftovers are held open at a time.
    private static let batch = 100
    /// How long all processes may take to die, however many leftovers there are.
    private static let patience = Duration.seconds(5)

    /// - Parameter deadline: until when processes may take to die; `nil`: that is decided when the first are killed.
    private static func sweep(
        _ parents: [CgroupDirectory], isLegacy: Bool, everywhere: Bool, dryRun: Bool, by deadline: BootTime?
    ) -> (leftovers: [Leftover], deadline: BootTime?) {
        var leftovers: [Leftover] = []
        var deadline = deadline
        var search = Search(isLegacy: isLegacy, everywhere: everywhere)
        repeat {
            search.found = []
            for parent in parents { search.look(below: parent) }
            if dryRun {
                leftovers += search.found.map(\.leftover)
            } else if !search.found.isEmpty {
                // All are killed before any is waited for.
                // Those that this does not reach are killed when each is ended.
                for one in search.found where !isLegacy { try? one.directory?.write("1", to: "cgroup.kill") }
                let end = deadline ?? .now + patience
                deadline = end
                leftovers += search.found.map { $0.ended(by: end) }
            }
        } while search.found.count >= batch
        return (leftovers, deadline)
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

    /// Looks for leftovers, at most as many at a time as may be held open.
    private struct Search {
        let isLegacy: Bool
        /// Whether to look below other cgroups, too, and for jobs that have renamed their cgroups.
        let everywhere: Bool
        var found: [Found] = []
        /// Those that were found before, and may be there still.
        private var known: Set<String> = []

        init(isLegacy: Bool, everywhere: Bool) {
            self.isLegacy = isLegacy
            self.everywhere = everywhere
        }

        mutating func look(below parent: CgroupDirectory) {
            for name in (try? parent.children()) ?? [] where everywhere || JobName.isJob(name) {
                guard found.count < Sweep.batch else { return }
                guard !known.contains(parent.path(of: name)) else { continue }
                if let one = look(at: name, in: parent) {
                    known.insert(parent.path(of: name))
                    found.append(one)
                } else if everywhere, let child = try? parent.openChild(name) {
                    look(below: child)
                }
            }
        }

        /// - Returns: `nil` if somebody looks after this cgroup, if the caller is in it, or if it is not cgrun's.
        private func look(at name: String, in parent: CgroupDirectory) -> Found? {
            let child: CgroupDirectory
            do { child = try JobName.isJob(name) ? parent.openJob(name) : parent.openChild(name) } catch {
                // The cgroup is gone, or belongs to another user, who may sweep it.
                let errors: [Errno] = [.noSuchFileOrDirectory, .permissionDenied, .notPermitted]
                guard JobName.isJob(name), !errors.contains(error.errno) else { return nil }
                let leftover = Leftover(text: parent.path(of: name), failure: error.description)
                return Found(name: name, parent: parent, directory: nil, isLegacy: isLegacy, leftover: leftover)
            }
            // Services are adopted, and not swept. For an instant they have but their name.
            guard child.isMarkedJob, !child.isMarkedService, !JobName.isService(name),
                (try? child.descriptor.tryLock()) == true
            else { return nil }
            let members = child.allProcesses()
            guard !members.contains(ThisProcess.id) else { return nil }
            let names = members.filter { $0 > 0 }.map { "\($0) \((ProcessTable.commandName($0) ?? "?").asName)" }
            let text = names.isEmpty ? child.path : "\(child.path) with \(names.joined(separator: ", "))"
            return Found(
                name: name, parent: parent, directory: child, isLegacy: isLegacy, leftover: Leftover(text: text))
        }
    }
}

extension Sweep.Found {
    fileprivate func ended(by deadline: BootTime) -> Sweep.Leftover {
        var leftover = leftover
        do throws(SystemError) { try remove(by: deadline) } catch { leftover.failure = error.description }
        return leftover
    }

    private func remove(by deadline: BootTime) throws(SystemError) {
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
