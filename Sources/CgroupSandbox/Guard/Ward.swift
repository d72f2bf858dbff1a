internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SystemPackage

/// What a guard is told about one job.
struct Ward: Sendable {
    /// The common name of the job's cgroups.
    var name: String
    /// For each cgroup a letter that tells its hierarchy, as in guard_protocol.h; cgroup v2 first.
    var tags: [UInt8]
    /// The directories that the cgroups are in, or will be.
    var parents: [CgroupDirectory]
    /// The process whose loss ends the job.
    var parent: ParentWatch?
    var recovery: LossRecovery?
    /// The cgroups, once they exist. From then on the guard kills the job after a loss.
    var directories: [CgroupDirectory] = []
    /// Until when the guard leaves the job to this process; `nil`: for ever.
    var deadline: BootTime?

    var isArmed: Bool { !directories.isEmpty }

    func openKillFile() throws(SystemError) -> Descriptor { try directories[0].open("cgroup.kill", O_WRONLY) }

    /// - Returns: `nil` before the job is armed, and once its cgroup is removed: then the job is over, and about to be
    ///   forgotten.
    func openKillFileIfThere() throws(SystemError) -> SharedDescriptor? {
        guard isArmed else { return nil }
        do { return SharedDescriptor(try openKillFile()) } catch {
            let errors: [Errno] = [.noSuchFileOrDirectory, .operationNotSupportedByDevice]
            guard errors.contains(error.errno) else { throw error }
            return nil
        }
    }

    /// How many descriptors the guard has open for this job at most, while the job lives.
    var descriptorCount: Int {
        (parent?.descriptor == nil ? 0 : 1) + (recovery?.descriptorCount ?? 0) + parents.count + 1
    }
}
