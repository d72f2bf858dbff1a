internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SystemPackage

/// What a guard is told about one job.
struct Ward: Sendable {
    /// The common name of the job's cgroups.
    var name: String
    /// What each cgroup is; the unified hierarchy first.
    var tags: [UInt8]
    /// Where the cgroups are, or will be.
    var parents: [CgroupDirectory]
    /// The process whose loss ends the job.
    var parent: ParentWatch?
    var recovery: LossRecovery?
    /// The cgroups once they exist; from then on a loss kills.
    var directories: [CgroupDirectory] = []

    var isArmed: Bool { !directories.isEmpty }

    func openKillFile() throws(SystemError) -> Descriptor { try directories[0].open("cgroup.kill", O_WRONLY) }

    /// - Returns: `nil` before the job is armed, and once its cgroup is removed: it is over then, and about to be
    ///   forgotten.
    func openKillFileIfThere() throws(SystemError) -> SharedDescriptor? {
        guard isArmed else { return nil }
        do { return SharedDescriptor(try openKillFile()) } catch {
            let errors: [Errno] = [.noSuchFileOrDirectory, .operationNotSupportedByDevice]
            guard errors.contains(error.errno) else { throw error }
            return nil
        }
    }

    /// How many descriptors the guard has open for this job: at its start, and once it is armed.
    var descriptorCount: Int {
        (parent?.descriptor == nil ? 0 : 1) + (recovery?.descriptorCount ?? 0) + parents.count + 1
    }
}
