internal import CgroupSandbox
internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

/// A cgroup for what one trial starts, so that all of it is counted and ended, wherever it forks to.
///
/// The suite itself runs in a job of cgrun's, and observers are below that job's cgroup: when the suite is lost, so are
/// they.
final class Observer {
    private let cgroup: JobCgroup

    /// - Throws: why there is no such cgroup, or why a limit cannot be enforced in it.
    init(_ limits: Limits) throws(StressError) {
        do throws(CgroupError) {
            let limits = try limits.resolved()
            let place = try ParentCgroups(Hierarchies.current(), parentPath: nil, limits: limits)
            cgroup = try PlannedCgroup(place, name: JobName.make().cgroup, limits: limits).create()
        } catch { throw StressError(LaunchError(error, .options).message) }
    }

    /// Starts a program in the cgroup, from its first instruction on.
    func start(_ program: Program) throws(StressError) -> ProcessDescriptor {
        do {
            let joins = try cgroup.joinFiles()
            // Nobody closes the files before the program has entered its groups by them.
            defer { withExtendedLifetime(joins) {} }
            let started = try program.start(
                cgroup: cgroup.directory.descriptor.rawValue, joinFiles: joins.map { $0.descriptor.rawValue })
            return started.takeProcess()
        } catch let error as CgroupError {
            throw StressError(LaunchError(error, .options).message)
        } catch let error as SpawnError {
            throw StressError("\(error.system)")
        } catch { throw StressError("\(error)") }
    }

    var processes: ProcessTree { ProcessTree(cgroup.members) }
    var statistics: JobStatistics { cgroup.statistics(.current) }
    /// Memory that the kernel does not take back by itself; `nil` where nobody counts.
    var memoryBytes: UInt64? { statistics.memoryParts.map { $0.anonymousBytes + $0.sharedBytes } }
    /// How many processes the kernel has killed here for want of memory.
    var oomKills: UInt64 { cgroup.statistics(.death).oomKills }

    // MARK: Signals

    /// A process that a signal is meant for.
    private final class Target {
        let process: ProcessDescriptor
        init(_ process: consuming ProcessDescriptor) { self.process = process }
    }

    /// Sends processes of this cgroup signals, the first one to all of them before the second, and nobody else.
    ///
    /// - Returns: whether all of them were there.
    func signal(_ pids: [ProcessID], _ signals: Signal...) -> Bool {
        var targets: [Target] = []
        for pid in pids {
            // Only a process that is here once the pidfd is open: before, its pid might have passed to another.
            guard let process = try? ProcessDescriptor(pid: pid), cgroup.isMember(pid) else { continue }
            targets.append(Target(process))
        }
        for signal in signals {
            for target in targets { try? target.process.send(signal) }
        }
        return targets.count == pids.count
    }

    // MARK: The end

    /// Waits until no process is left.
    ///
    /// - Returns: those that are left when the time is over.
    func left(within bound: Duration) -> [LeftProcess] {
        guard (try? cgroup.isPopulated(after: bound)) ?? true else { return [] }
        return processes.described
    }

    /// Kills whatever is left, and removes the cgroup.
    func end() throws(StressError) {
        do { try cgroup.end(.bounded) } catch { throw StressError("cannot clear a scenario away: \(error)") }
    }
}

/// Why a suite cannot go on.
package struct StressError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
