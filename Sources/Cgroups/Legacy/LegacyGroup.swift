internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// A job's group in one v1 hierarchy.
struct LegacyGroup: Sendable {
    let parent: LegacyParent
    let directory: CgroupDirectory

    var controller: LegacyController { parent.controller }

    /// Changes the limits that are given, and reads each back.
    func update(_ limits: ResolvedLimits) throws(CgroupError) {
        let settings = try parent.settings(for: limits)
        do throws(CgroupError) {
            for setting in settings { try setting.apply(to: directory) }
        } catch {
            // The limit on memory may never exceed that on memory and swap together: where both are raised, the order
            // of writing has to be reversed.
            guard controller == .memory, case .rejected = error.kind else { throw error }
            for setting in settings.reversed() { try setting.apply(to: directory) }
        }
    }

    /// Opens `tasks` rather than `cgroup.procs`: to move a single thread, the kernel does not have to hold up all
    /// forks.
    func openTasks() throws(CgroupError) -> SharedDescriptor {
        do { return SharedDescriptor(try directory.open("tasks", O_WRONLY)) } catch { throw CgroupError(error) }
    }

    func remove(_ name: String) throws(SystemError) { try parent.directory.removeJob(name, directory) }
}
