package import LinuxSystem
internal import SystemPackage

/// Finds the jobs on this machine by their cgroups, as far as this user may look into them. Services are none.
package enum RunningJobs {
    package struct Found: Sendable {
        /// The name of the job's cgroup.
        package let name: String
        package let path: String
        /// The processes in the tree.
        package let pids: [ProcessID]
        /// `memory.current`; `nil` without the controller.
        package let memoryBytes: UInt64?
        /// `memory.max`; `nil`: no limit.
        package let memoryLimitBytes: UInt64?
        /// `pids.current`: processes and threads; `nil` without the controller.
        package let tasks: UInt64?
        /// Whether a launcher or a guard looks after the job. A sweep ends one that nobody looks after.
        package let isKept: Bool
    }

    package static func all(in layout: Hierarchies) throws(CgroupError) -> [Found] {
        let root: CgroupDirectory
        do { root = try CgroupDirectory(opening: layout.mount, .v2) } catch { throw CgroupError(error) }
        let legacy = layout.mode == .hybrid ? LegacyParent.all(in: layout) : []
        var found: [Found] = []
        look(below: root, legacy, &found)
        return found
    }

    private static func look(below parent: CgroupDirectory, _ legacy: [LegacyParent], _ found: inout [Found]) {
        for name in (try? parent.children()) ?? [] {
            // One that is gone by now, or that this user may not open.
            guard let child = try? JobName.isJob(name) ? parent.openJob(name) : parent.openChild(name) else { continue }
            let isService = JobName.isService(name) || child.isMarkedService
            if child.isMarkedJob, !isService, let job = job(name, child, legacy) { found.append(job) }
            // A job may run others, and so may a service.
            look(below: child, legacy, &found)
        }
    }

    /// - Returns: `nil` for a job that is over by now.
    private static func job(_ name: String, _ directory: CgroupDirectory, _ legacy: [LegacyParent]) -> Found? {
        let pids = directory.allProcesses().filter { $0 > 0 }
        guard !pids.isEmpty else { return nil }
        func legacyNumber(_ controller: LegacyController, _ file: String) -> UInt64? {
            legacy.first { $0.controller == controller }.flatMap { try? $0.directory.openJob(name) }?.number(file)
        }
        let limit = directory.number("memory.max") ?? legacyNumber(.memory, "memory.limit_in_bytes")
        return Found(
            name: name, path: directory.path, pids: pids,
            memoryBytes: directory.number("memory.current") ?? legacyNumber(.memory, "memory.usage_in_bytes"),
            // What cgroup v1 has in place of no limit is more than any machine has.
            memoryLimitBytes: limit.flatMap { $0 < 1 << 60 ? $0 : nil },
            tasks: directory.number("pids.current") ?? legacyNumber(.pids, "pids.current"),
            isKept: (try? directory.descriptor.tryLock()) != true)
    }
}
