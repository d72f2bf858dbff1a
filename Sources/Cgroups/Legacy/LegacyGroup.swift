internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// A job's group in one v1 hierarchy.
struct LegacyGroup: Sendable {
    let controller: LegacyController
    let directory: CgroupDirectory
    private let parent: CgroupDirectory

    init(
        _ controller: LegacyController, parent: CgroupDirectory, directory: CgroupDirectory
    ) {
        self.controller = controller
        self.parent = parent
        self.directory = directory
    }

    func apply(_ setting: LegacySetting) throws(CgroupError) {
        let got: String
        do {
            try directory.write(setting.value, to: setting.file)
            got = try directory.read(setting.file)
        } catch {
            // The v1 cpuset controller says EACCES for processors that the parent group does not have.
            throw setting.file == "cpuset.cpus" && error.errno == .permissionDenied
                ? CgroupError(.rejected(error, limit: setting.limit))
                : CgroupError.setting(error, setting.file, limit: setting.limit, in: directory.path)
        }
        guard setting.readBack.has(setting.value, in: got, pageSize: UInt64(Machine.pageSize)) else {
            throw CgroupError(
                .notApplied(
                    file: directory.path(of: setting.file), wanted: setting.value, got: got,
                    limit: setting.limit))
        }
    }

    /// Changes the limits that are given, and reads each back.
    func update(_ limits: ResolvedLimits) throws(CgroupError) {
        let settings = try LegacyParent(controller, parent, limit: LegacyParent.noLimit).settings(for: limits)
        do throws(CgroupError) {
            for setting in settings { try apply(setting) }
        } catch {
            // The limit on memory may never exceed that on memory and swap together: where both are raised, the order
            // of writing has to be reversed.
            guard controller == .memory, case .rejected = error.kind else { throw error }
            for setting in settings.reversed() { try apply(setting) }
        }
    }

    /// Opens `tasks` rather than `cgroup.procs`: to move a single thread, the kernel does not have to hold up all
    /// forks.
    func openTasks() throws(CgroupError) -> SharedDescriptor {
        do { return SharedDescriptor(try directory.open("tasks", O_WRONLY)) } catch { throw CgroupError(error) }
    }

    func remove(_ name: String) throws(SystemError) { try parent.removeChild(name) }
}
