internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// What all jobs of this process share: one event loop, one guard.
final class JobRuntime: Sendable {
    let loop: EventLoop
    let guardian: JobGuard
    /// `/dev/null`, for streams that nobody wants.
    let null: Descriptor
    /// Made for this program's jobs by `HostScope.enter`.
    let scope = Locked<HeldScope?>(nil)
    private let guardWatch: GuardWatch
    private let state = Locked(State())

    private struct State {
        /// The jobs that are not over; a handle that was dropped ends nothing by itself.
        var records: [String: JobRecord] = [:]
        /// How often there was no guard to be had.
        var guardLosses = 0
        /// Where leftovers were looked for already.
        var sweptParents: Set<String> = []
        /// Parents that are open already, as long as this process is in these cgroups.
        var places: [PlaceKey: CgroupPlace] = [:]
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

    /// - Throws: when there is no descriptor or thread to be had; the next call tries again.
    static func shared() throws(LaunchError) -> JobRuntime {
        try current.withLock { current throws(LaunchError) in
            if let current { return current }
            let made = try JobRuntime()
            current = made
            return made
        }
    }

    private init() throws(LaunchError) {
        do throws(SystemError) {
            loop = try EventLoop()
            null = try Descriptor(opening: "/dev/null", O_RDWR)
        } catch { throw LaunchError(error) }
        guardWatch = GuardWatch(loop)
        guardian = try JobGuard(GuardProgram(), observer: guardWatch)
        guardWatch.whenLost(
            // Where there is none to be had, the watch hears of it.
            { [weak self] in try? self?.guardian.replace() }, orMissing: { [weak self] in self?.endUnguarded() })
    }

    // MARK: Jobs

    /// Starts a job. Blocks for as long as a launch takes: a fraction of a millisecond.
    func launch(_ spec: JobSpec, streams: [CInt]) throws(LaunchError) -> LaunchedJob {
        try spec.check()
        guard spec.manager != .systemd, !spec.unit.isGiven else {
            throw LaunchError(
                .setup, "a program's jobs are not put into scopes of systemd's",
                remedy: "call HostScope.enter first: it gets the program one scope, in which its jobs are directories")
        }
        let parent = spec.cgroupParent ?? scope.withLock { $0?.place.cgroup }
        let key = PlaceKey(parent: parent, controllers: spec.limits.controllers)
        let (place, isKnown) = try place(key, spec)
        do { return try launch(spec, streams: streams, in: place) } catch {
            // A parent that was removed and made again is another one.
            guard isKnown, error.kind == .setup, !place.exists else { throw error }
        }
        state.withLock { _ = $0.places.removeValue(forKey: key) }
        return try launch(spec, streams: streams, in: try self.place(key, spec).place)
    }

    private func place(_ key: PlaceKey, _ spec: JobSpec) throws(LaunchError) -> (place: CgroupPlace, isKnown: Bool) {
        do throws(CgroupError) {
            // Reading it takes the kernel's lock over all cgroups.
            if let known = state.withLock({ $0.membershipIsFreshUntil ?? .now > .now ? $0.places[key] : nil }) {
                return (known, true)
            }
            let membership = try CgroupLayout.membership()
            let known = state.withLock { state in
                state.membershipIsFreshUntil = .now + .milliseconds(100)
                if state.membership != membership { (state.membership, state.places) = (membership, [:]) }
                return state.places[key]
            }
            if let known { return (known, true) }
            let place = try CgroupPlace(CgroupLayout.current(), parentPath: key.parent, limits: spec.limits.resolved())
            state.withLock { state in
                // Each keeps descriptors open.
                if state.places.count >= Self.mostPlaces { state.places = [:] }
                state.places[key] = place
            }
            return (place, false)
        } catch { throw LaunchError(error) }
    }

    private func launch(
        _ spec: JobSpec, streams: [CInt], in place: CgroupPlace
    ) throws(LaunchError) -> LaunchedJob {
        let prepared = try PreparedJob(spec, in: place, because: "a directory below this program's own")
        var surroundings = PreparedJob.Surroundings()
        surroundings.guardian = guardian
        surroundings.streams = streams
        // Once: what appears later is left by others, and is theirs or the timer's to sweep.
        surroundings.sweeps = state.withLock { $0.sweptParents.insert(place.path).inserted }
        return try prepared.launch(surroundings)
    }

    /// - Parameter losses: `guardLosses` as it was before the job's launch.
    /// - Returns: whether there was a guard all the time. If not, the job must not live on.
    func add(_ record: JobRecord, since losses: Int) -> Bool {
        state.withLock { state in
            state.records[record.id] = record
            return state.guardLosses == losses
        }
    }

    func remove(_ record: JobRecord) { _ = state.withLock { $0.records.removeValue(forKey: record.id) } }

    // MARK: The guard

    // No job lives on without a guard, whoever loses it and when:
    // - A command starts only after a guard has said that it watches, and was told of the job (`JobGuard.arm`).
    // - The loop watches each guard's pidfd from before its first answer. One that died before is ready at once;
    //   one that dies later is replaced, under the lock of `JobGuard`, by the loop or by a launch that was faster,
    //   and the new one knows every job registered by then, those on their way to their start included.
    // - Where that fails, in whatever thread, the loop counts a loss and stops all jobs of which it has a record.
    //   Count and records have one lock: a job that is added later finds the count changed, and is stopped by its
    //   launch. Nobody asks whether there is a guard again: who asks would wait for who starts one.

    /// How often there was no guard to be had so far.
    var guardLosses: Int { state.withLock { $0.guardLosses } }

    private func endUnguarded() {
        let records = state.withLock { state in
            state.guardLosses += 1
            return Array(state.records.values)
        }
        for record in records { record.stop(.guardLost) }
    }
}

/// Waits for the end of guards.
private final class GuardWatch: GuardObserver {
    private let loop: EventLoop
    private let state = Locked(State())

    private struct State {
        var watch: UInt64?
        var whenLost: @Sendable () -> Void = {}
        var whenMissing: @Sendable () -> Void = {}
    }

    init(_ loop: EventLoop) { self.loop = loop }

    func whenLost(_ body: @escaping @Sendable () -> Void, orMissing missing: @escaping @Sendable () -> Void) {
        state.withLock { ($0.whenLost, $0.whenMissing) = (body, missing) }
    }

    func guardDidStart(_ descriptor: CInt) throws(SystemError) {
        try state.withLock { state throws(SystemError) in
            state.watch = try loop.watch(descriptor, for: .reading, state.whenLost)
        }
    }

    /// In the loop's thread, since jobs that are to be stopped may be asking for the guard.
    func guardIsMissing() { state.withLock { _ = loop.call(at: .now, $0.whenMissing) } }

    func guardWillClose(_ descriptor: CInt) {
        state.withLock { state in
            if let watch = state.watch { loop.unwatch(watch, descriptor) }
            state.watch = nil
        }
    }
}
