package import Cgroups
internal import Glibc
package import LinuxSystem
package import SandboxValues

/// The job of a service, as its keeper runs it: one after the other, under a name that stays. A job outlives this
/// process, and a successor adopts it.
package final class KeptJobs: Sendable {
    package let loop: EventLoop
    private let jobs: GuardedJobs
    private let null: Descriptor

    /// - Parameter loop: the loop that calls back; the caller turns it.
    package init(_ loop: EventLoop, succeededBy successor: Successor) throws(LaunchError) {
        self.loop = loop
        do { null = try Descriptor(opening: "/dev/null", O_RDWR) } catch { throw LaunchError(error) }
        jobs = try GuardedJobs(loop, areOne: false, successor: successor)
    }

    /// Where the jobs' cgroups are made: in the service's unit, or where jobs of this process are made without systemd.
    ///
    /// - Parameter recorded: where an earlier keeper has made them.
    package static func place(
        _ spec: LaunchSpec, of service: String, recorded: ParentCgroups.Paths?
    ) throws(LaunchError) -> ParentCgroups {
        let layout = try Hierarchies.current(.options)
        var parent = spec.job.cgroupParent
        if let unit = ServicePlace.unitPath(of: service, layout, recorded: recorded) {
            try ServicePlace.arrange(unit, of: service, spec, layout, isNew: recorded == nil)
            parent = unit
        } else if let recorded, let place = try? ParentCgroups(layout, at: recorded) {
            return place
        } else if case .systemd = try spec.resolveManager(layout) {
            throw LaunchError(
                .setup, "the keeper of a service with a unit is started by systemd, and not by another process",
                remedy: "start the service anew with cgrun service start \(service)")
        }
        do throws(CgroupError) {
            return try ParentCgroups(layout, parentPath: parent, limits: spec.job.limits.resolved())
        } catch { throw LaunchError(error, .options) }
    }

    /// Whether systemd has the unit of a service whose keepers are lost, so that it starts another, or has done so.
    package static func comesBack(_ service: String, recorded: ParentCgroups.Paths) -> Bool {
        ServicePlace.isUnitLoaded(of: service, recorded: recorded)
    }

    /// Starts the service's command. Nothing of an earlier job may be left.
    ///
    /// - Parameters:
    ///   - output: what the command gets as standard output and standard error.
    ///   - whenOver: called by the loop once nothing is left of the job.
    /// - Throws: why the command did not start. Nothing of it is left then.
    package func launch(
        _ spec: LaunchSpec, of service: String, in place: ParentCgroups, output: borrowing Descriptor,
        whenOver: @escaping @Sendable (Report) -> Void
    ) throws(LaunchError) -> KeptJob {
        let prepared = try PreparedJob(spec, of: service, in: place)
        // What could not be removed the last time must not run beside the new one.
        do throws(SystemError) { try prepared.site?.endLeftover() } catch {
            throw LaunchError(error, takingOver: service)
        }
        let startedAt = BootTime.now
        let driver = try launch(prepared, output: output.rawValue)
        let job = KeptJob(driver)
        // A successor that finds a job without this note cannot tell its main process, and starts it anew.
        driver.withCgroup { cgroup, _ in
            let ticks = ProcessTable.startTime(driver.pid) ?? 0
            cgroup.note(JobNote(id: driver.id, pid: driver.pid, processStart: ticks, startedAt: startedAt))
        }
        tell(whenOver, of: driver)
        return job
    }

    private func launch(_ prepared: PreparedJob, output: CInt) throws(LaunchError) -> JobDriver {
        let streams = [null.rawValue, output, output]
        return try jobs.launch(prepared, PreparedJob.Surroundings(streams: streams), watchesCommand: true) {
            $0.setDelivery(.everything) { _ in }
        }
    }

    /// What runs beside a service's command, in a cgroup of its own; by the end of that cgroup's name, which no service
    /// has.
    package enum Helper: String, Sendable, CaseIterable {
        case probe = "~p"
        case reload = "~r"
    }

    /// Starts a helper of which there is none at the moment. It does not outlive this keeper for long: the next ends it.
    ///
    /// - Parameters:
    ///   - output: what the command gets as standard output and standard error; `nil`: what it writes is thrown away.
    ///   - whenOver: called by the loop once nothing is left of it.
    package func launch(
        _ helper: Helper, _ spec: JobSpec, of service: String, in place: ParentCgroups,
        output: SharedDescriptor?, whenOver: @escaping @Sendable (Report) -> Void
    ) throws(LaunchError) -> KeptJob {
        var launch = LaunchSpec(spec)
        launch.closesDescriptors = true
        let prepared = try PreparedJob(launch, of: service + helper.rawValue, in: place)
        do throws(SystemError) { try prepared.site?.endLeftover() } catch { throw LaunchError(error) }
        let driver = try self.launch(prepared, output: output?.descriptor.rawValue ?? null.rawValue)
        tell(whenOver, of: driver)
        return KeptJob(driver)
    }

    /// Ends what an earlier keeper has left of its helpers.
    private static func endHelpers(of service: String, in place: ParentCgroups) {
        for helper in Helper.allCases { endLeftover(service + helper.rawValue, in: place) }
    }

    private static func endLeftover(_ name: String, in place: ParentCgroups) {
        let prepared = try? PreparedJob(LaunchSpec(JobSpec(["true"])), of: name, in: place)
        try? prepared?.site?.endLeftover()
    }

    /// Removes the cgroups of a service that nobody looks after and of which nothing is left.
    package static func clearAway(_ service: String, recorded: ParentCgroups.Paths) {
        guard let layout = try? Hierarchies.current(), let place = try? ParentCgroups(layout, at: recorded) else {
            return
        }
        endHelpers(of: service, in: place)
        endLeftover(service, in: place)
    }

    /// A process of which the pid alone says nothing.
    package struct MainProcess: Sendable {
        package let pid: ProcessID
        /// In clock ticks since boot.
        let startTime: UInt64

        /// Whether the process is there, be it as a zombie. Programs that look at a pid file take that for a life.
        package var exists: Bool { ProcessTable.startTime(pid) == startTime }
    }

    /// What an earlier keeper has left of a service.
    package enum Found: Sendable {
        case nothing
        /// Its main process lives.
        case job(KeptJob, startedAt: BootTime)
        /// Its main process has ended unseen, or was never noted. Nothing is left of the tree by now, but perhaps the
        /// main process until its parent reaps it.
        case ended(main: MainProcess?)
        /// The same, but something is left that does not die.
        case stuck(LaunchError)
    }

    /// Takes over what an earlier keeper has left of the service.
    ///
    /// - Throws: when the cgroups cannot be opened, or another process looks after them.
    package func adopt(
        _ spec: LaunchSpec, of service: String, in place: ParentCgroups, whenOver: @escaping @Sendable (Report) -> Void
    ) throws(LaunchError) -> Found {
        Self.endHelpers(of: service, in: place)
        let prepared: PreparedJob
        do { prepared = try PreparedJob(spec, of: service, in: place) } catch {
            // A limit that could not be set today, such as one of a disk that is gone, is no reason to leave a job alone.
            var unlimited = spec
            unlimited.job.limits = Limits()
            prepared = try PreparedJob(unlimited, of: service, in: place)
        }
        let cgroup: JobCgroup
        let found: JobNote?
        do throws(SystemError) {
            guard let opened = try prepared.site?.reopen() else { return .nothing }
            cgroup = opened
            found = cgroup.note
        } catch { throw LaunchError(error, takingOver: service) }
        // What the command has left may go on for as long as it likes, if that was asked for.
        let isPopulated = (try? cgroup.isPopulated()) == true
        let goesOn = spec.job.waitsForAll && isPopulated
        guard let note = found, cgroup.hasMainProcess(note) || goesOn else {
            do { try cgroup.end(.bounded) } catch { return .stuck(LaunchError(error)) }
            return .ended(main: found.map { MainProcess(pid: $0.pid, startTime: $0.processStart) })
        }
        let main = cgroup.mainProcess(note)
        let driver = prepared.adopt(cgroup, main, note, jobs)
        driver.setDelivery(.everything) { _ in }
        jobs.adopt(driver)
        tell(whenOver, of: driver)
        return .job(KeptJob(driver), startedAt: note.startedAt)
    }

    private func tell(_ whenOver: @escaping @Sendable (Report) -> Void, of driver: JobDriver) {
        driver.setWhenOver { [loop, weak jobs] report in
            jobs?.remove(driver)
            // Not in the middle of what has ended the job.
            loop.call(at: .now) { whenOver(report) }
        }
    }

    /// Sees to it that this process has a successor, also while it has no job. Where no guard can be started, it goes on
    /// without one, and tries again.
    package func startGuard() { jobs.startGuard() }

    package var guardPID: ProcessID? { jobs.guardian.pid }

    /// Ends the guard, when the service has ended and wants no successor.
    package func dismissGuard() { jobs.guardian.dismiss() }
}

/// One run of a service's command.
package struct KeptJob: Sendable {
    private let driver: JobDriver

    init(_ driver: JobDriver) { self.driver = driver }

    /// The main process; `nil` once it has ended.
    package var pid: ProcessID? { driver.hasCommand ? driver.pid : nil }
    package var main: KeptJobs.MainProcess? {
        pid.flatMap { pid in
            ProcessTable.startTime(pid).map { KeptJobs.MainProcess(pid: pid, startTime: $0) }
        }
    }
    package var cgroupPath: String { driver.cgroupPath }

    /// Begins to stop the job, as its specification has it.
    package func stop() { driver.stop(.caller) }
    /// Kills the whole tree at once.
    package func kill() { driver.kill() }
    /// Sends the main process a signal.
    package func send(_ signal: Signal) throws(SystemError) { try driver.pass(signal) }

    /// What the tree uses now.
    package var statistics: JobStatistics { driver.statistics }
    package var members: [ProcessID] { driver.withCgroup { cgroup, _ in cgroup.members } ?? [] }
    package func isMember(_ pid: ProcessID) -> Bool {
        driver.withCgroup { cgroup, _ in cgroup.isMember(pid) } ?? false
    }
}

extension LaunchError {
    /// Why the cgroups of an earlier run could not be had.
    fileprivate init(_ error: SystemError, takingOver service: String) {
        guard error.operation == "flock" else {
            self.init(error)
            return
        }
        self.init(
            .setup, "\(error.path ?? "its cgroup") belongs to a keeper that does not know this service",
            remedy:
                "if there is a service \(service) in another state directory, stop that one, or give this one another name"
        )
    }
}
