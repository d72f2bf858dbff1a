internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// What a program's jobs share: an event loop with a thread of its own, a guard, and open parents for their cgroups.
final class JobRuntime: Sendable {
    let jobs: GuardedJobs
    /// `/dev/null`, for streams that nobody wants.
    let null: Descriptor
    /// The scope that `HostScope.enter` has had made for this program's jobs.
    let scope = Locked<HeldScope?>(nil)
    private let state = Locked(State())

    private struct State {
        /// The directories in which leftovers were looked for already.
        var sweptParents: Set<String> = []
        /// Parents that are open already. They hold as long as this process stays in its cgroups.
        var places: [PlaceKey: ParentCgroups] = [:]
        var membership = ""
        var membershipIsFreshUntil: BootTime?
    }

    private static let mostPlaces = 8

    private struct PlaceKey: Hashable {
        var parent: String?
        var controllers: [Controller]
    }

    // MARK: The one of this process

    private static let current = Locked<JobRuntime?>(nil)

    /// - Throws: when no descriptor or thread can be had; the next call tries again.
    static func shared() throws(LaunchError) -> JobRuntime {
        try current.withLock { current throws(LaunchError) in
            if let current { return current }
            let made = try JobRuntime()
            current = made
            return made
        }
    }

    private init() throws(LaunchError) {
        let loop: EventLoop
        do throws(SystemError) {
            loop = try EventLoop()
            null = try Descriptor(opening: "/dev/null", O_RDWR)
        } catch { throw LaunchError(error) }
        jobs = try GuardedJobs(loop, areOne: false)
        do { try loop.startThread() } catch { throw LaunchError(error) }
    }

    // MARK: Jobs

    /// Starts a job. Blocks for as long as a launch takes: a fraction of a millisecond.
    ///
    /// - Parameter takeWhatIsOurs: as for `GuardedJobs.launch`.
    func launch(
        _ spec: JobSpec, streams: [CInt], _ takeWhatIsOurs: (JobDriver) -> Void
    ) throws(LaunchError) -> JobDriver {
        try spec.check()
        let parent = spec.cgroupParent ?? scope.withLock { $0?.place.cgroup }
        let key = PlaceKey(parent: parent, controllers: spec.limits.controllers)
        let (place, isKnown) = try place(key, spec)
        do { return try launch(spec, streams: streams, in: place, takeWhatIsOurs) } catch {
            // The parent may have been removed and made again: then there is another directory to open.
            guard isKnown, error.kind == .setup, !place.exists else { throw error }
        }
        state.withLock { _ = $0.places.removeValue(forKey: key) }
        return try launch(spec, streams: streams, in: try self.place(key, spec).place, takeWhatIsOurs)
    }

    private func place(_ key: PlaceKey, _ spec: JobSpec) throws(LaunchError) -> (place: ParentCgroups, isKnown: Bool) {
        do throws(CgroupError) {
            // To read the membership takes the kernel's lock over all cgroups, so it is not read again for 100 ms.
            if let known = state.withLock({ $0.membershipIsFreshUntil ?? .now > .now ? $0.places[key] : nil }) {
                return (known, true)
            }
            let membership = try Hierarchies.membership()
            let known = state.withLock { state in
                state.membershipIsFreshUntil = .now + .milliseconds(100)
                if state.membership != membership { (state.membership, state.places) = (membership, [:]) }
                return state.places[key]
            }
            if let known { return (known, true) }
            let place = try ParentCgroups(Hierarchies.current(), parentPath: key.parent, limits: spec.limits.resolved())
            state.withLock { state in
                // Each place keeps descriptors open.
                if state.places.count >= Self.mostPlaces { state.places = [:] }
                state.places[key] = place
            }
            return (place, false)
        } catch { throw LaunchError(error) }
    }

    private func launch(
        _ spec: JobSpec, streams: [CInt], in place: ParentCgroups, _ takeWhatIsOurs: (JobDriver) -> Void
    ) throws(LaunchError) -> JobDriver {
        // Once for each parent: what appears there later was left by others, and they or a timer sweep it.
        let sweeps = state.withLock { $0.sweptParents.insert(place.path).inserted }
        let prepared = try PreparedJob(spec, in: place, because: "a directory below this program's own", sweeps: sweeps)
        return try jobs.launch(
            prepared, PreparedJob.Surroundings(streams: streams), watchesCommand: true, takeWhatIsOurs)
    }
}
