internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// The guard of a process's jobs, however many: one process, started with the first job and replaced when it dies.
///
/// Messages to the guard wait in an outbox until its socket takes them. No thread waits for that while it holds the
/// lock, and the event loop's thread does not wait at all: a guard that is stopped delays no job's end, and no other
/// job's time limit. Only a thread that starts a job waits, without the lock, until the guard knows of the job.
final class GuardClient: Sendable {
    let program: GuardProgram
    let launcher: ProcessDescriptor
    private let state = Locked(State())

    struct State {
        var process: GuardProcess?
        /// The registered jobs, and what the guard has still to be told.
        var outbox = GuardOutbox()
        var lastNumber: UInt64 = 0
        /// How many descriptors the guard has open for jobs.
        var descriptorCount = 0
        /// How often a guard that had died was replaced.
        var replaced = 0
        /// How many guards in a row were lost before they watched.
        var lostInARow = 0
        /// Whether the guard must not be replaced: a manager moves it by its pid, and would not move another.
        var isIrreplaceable = false
        /// The cgroup of a guard that must not be replaced, as it was when the guard was found dead.
        var lastPlace: String?
        /// The error for the last guard that did not answer in time, and until when all who want a guard get this
        /// error: otherwise each of them would wait as long for another guard, one after the other.
        var silence: (error: LaunchError, until: BootTime)?
        /// The jobs that a guard has killed at their deadlines, as far as nobody has asked for them.
        var killedAtDeadline: Set<UInt64> = []
        var observer: Observer?
        /// Whether the observer's loop is going to call `keepUp`.
        var isScheduled = false

        /// The cgroup of the present guard.
        var place: String? { process.flatMap { try? Hierarchies.unifiedPath(of: $0.helper.process.pid) } }
    }

    /// The event loop that has a guard replaced when it ends.
    struct Observer {
        let loop: EventLoop
        let whenMissing: @Sendable () -> Void
    }

    /// Starts no guard yet.
    init(_ program: GuardProgram) throws(LaunchError) {
        self.program = program
        do { launcher = try ProcessDescriptor(pid: ThisProcess.id) } catch { throw LaunchError(error) }
    }

    /// Has a loop replace guards that end. To be called before the first guard starts.
    ///
    /// - Parameter whenMissing: called by the loop when there is no guard and none can be started. It has to end all
    ///   jobs that were started before.
    func observe(by loop: EventLoop, whenMissing: @escaping @Sendable () -> Void) {
        state.withLock { $0.observer = Observer(loop: loop, whenMissing: whenMissing) }
    }

    /// The pidfd of the present guard; -1 where there is none.
    var descriptor: CInt { state.withLock { $0.process?.helper.descriptor ?? -1 } }
    var pid: ProcessID? { state.withLock { $0.process?.helper.process.pid } }
    var replacementCount: Int { state.withLock { $0.replaced } }
    /// The cgroup of the present guard, or of a pinned guard that has died, as in `/proc/PID/cgroup`.
    var unifiedPath: String? { state.withLock { $0.place ?? $0.lastPlace } }

    // MARK: Before there is a job

    /// Has guards become another program after a loss, instead of ending the jobs. To be called before the first guard
    /// starts.
    func succeed(with successor: Successor) { state.withLock { $0.outbox.successor = successor } }

    /// Starts the guard's program, unless it runs. Whether the program is a guard is not known before it watches.
    func start() throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in
            if state.process == nil { try start(&state) }
        }
    }

    /// Returns once a guard watches.
    ///
    /// - Throws: when no guard can be started.
    func awaitWatch() throws(LaunchError) { try wait(untilItWatches: true) { _ in true } }

    /// Keeps the running guard from being replaced: a manager is told its pid, and would not move another guard.
    func pin() { state.withLock { $0.isIrreplaceable = true } }

    /// Returns once the pinned guard watches.
    ///
    /// - Throws: when it does not watch, or has ended.
    func check() throws(LaunchError) {
        try awaitWatch()
        guard state.withLock({ $0.process?.helper.process.hasEnded == false }) else { throw endedTooEarly }
    }

    /// Tells the running guard and the holder that a manager is being asked to move them out of the cgroups with this
    /// hash: the holder into the jobs' scope, the guard into the companion scope.
    func awaitScope(_ cgroupBefore: UInt64, keptBy holder: borrowing HolderProcess) throws(LaunchError) {
        holder.awaitScope(cgroupBefore)
        state.withLock { state in
            state.outbox.holder = (holder.helper, nil)
            state.outbox.append(.holder)
            state.outbox.append(.scope(cgroupBefore))
        }
        try wait { $0.outbox.notices.isEmpty }
    }

    /// Hands the directory of the jobs' scope to the guard, which removes it after a loss if systemd does not.
    func keep(_ scope: consuming Descriptor) throws(LaunchError) {
        let scope = SharedDescriptor(scope)
        state.withLock { state in
            guard state.outbox.holder != nil else { return }
            state.outbox.holder?.directory = scope
            state.outbox.append(.holder)
        }
        try wait { $0.outbox.notices.isEmpty }
    }

    // MARK: Jobs

    /// Registers a job before its cgroups exist, and returns once the guard has been told.
    ///
    /// - Returns: the number by which the guard knows the job.
    func register(_ ward: Ward) throws(LaunchError) -> UInt64 {
        let number = try state.withLock { state throws(LaunchError) in
            // The guard has the same hard limit as this process, and the kernel drops descriptors that exceed it.
            let count = state.descriptorCount + ward.descriptorCount
            guard count + Self.ownDescriptors <= ThisProcess.hardDescriptorLimit else {
                throw LaunchError(
                    .setup, "the guard cannot hold more than \(state.outbox.wards.count) jobs: too many open files",
                    remedy: "raise the hard limit on open files (LimitNOFILE=, ulimit -Hn)")
            }
            state.lastNumber += 1
            state.descriptorCount = count
            state.outbox.wards[state.lastNumber] = ward
            state.outbox.append(.job(state.lastNumber))
            return state.lastNumber
        }
        do {
            // The first guard starts while the first job's cgroups are made. After a guard was lost, or its program was
            // not a guard's, no job is begun before another guard watches.
            try wait(untilItWatches: number > 1 && state.withLock { $0.process == nil }) {
                $0.outbox.hasTold(number)
            }
        } catch {
            forget(number)
            throw error
        }
        return number
    }

    /// Hands the cgroups of a registered job to the guard, and returns once a guard watches. From then on the guard
    /// kills the job after a loss, and the command may start.
    func arm(_ number: UInt64, _ directories: [CgroupDirectory]) throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in
            state.outbox.wards[number]?.directories = directories
            guard let ward = state.outbox.wards[number] else { return }
            do throws(SystemError) {
                // Opened before the guard is told anything: if no descriptor is free, the guard need not be replaced.
                let killFile = SharedDescriptor(try ward.openKillFile())
                state.outbox.append(.arm(number, killFile: killFile))
            } catch { throw LaunchError(.openingKillFile(error)) }
        }
        try wait(untilItWatches: true) { $0.outbox.hasTold(number) }
    }

    /// Says until when the guard leaves a job to this process. Never waits.
    func setDeadline(_ moment: BootTime, of number: UInt64) {
        state.withLock { state in
            guard let ward = state.outbox.wards[number], ward.deadline != moment else { return }
            state.outbox.wards[number]?.deadline = moment
            state.outbox.append(.deadline(number))
            // A guard that has ended is replaced, and the next one is told.
            _ = try? state.process?.deliver(&state.outbox)
            schedule(&state)
        }
    }

    /// Whether the guard has killed this job at its deadline, since this process had not.
    func hasKilledAtDeadline(_ number: UInt64) -> Bool {
        state.withLock { state in
            state.process?.takeNotices { state.killedAtDeadline.insert($0) }
            return state.killedAtDeadline.remove(number) != nil
        }
    }

    /// Has the guard forget a job of which nothing is left. Never waits.
    func forget(_ number: UInt64) {
        state.withLock { state in
            guard let ward = state.outbox.wards[number] else { return }
            state.descriptorCount -= ward.descriptorCount
            state.outbox.forget(number)
            state.killedAtDeadline.remove(number)
            // A guard that has ended need not be told: the next one never hears of this job.
            _ = try? state.process?.deliver(&state.outbox)
            schedule(&state)
        }
    }

    /// Ends the guard without letting it kill anything. To be called when nothing is left of any job.
    func dismiss() {
        state.withLock { state in
            state.outbox.wards = [:]
            dismiss(&state)
        }
    }

    /// The guard's other descriptors: standard streams, socket, epoll, launcher, and what is open only for a moment.
    private static let ownDescriptors = 24
}

// MARK: - Waiting

extension GuardClient {
    /// How long a thread sleeps at most before it looks again: another thread may have replaced the guard meanwhile.
    static let longestPause = Duration.milliseconds(5)

    /// Returns once the condition holds and, with `untilItWatches`, a guard watches that knows all jobs so far.
    ///
    /// - Throws: when no guard can be started. Then no job may live on, and the observer is told.
    private func wait(untilItWatches: Bool = false, _ isMet: (State) -> Bool) throws(LaunchError) {
        while true {
            let pause = try state.withLock { state throws(LaunchError) in
                let pause = try advance(&state)
                return isMet(state) && (!untilItWatches || state.process?.watches == true) ? nil : pause
            }
            guard let pause else { return }
            var poller = Poller()
            poller.add(pause.socket)
            poller.add(pause.process)
            _ = poller.wait(pause.atMost)
        }
    }

    /// What a thread waits for before it looks again.
    struct Pause {
        /// -1 where nothing is expected from the socket.
        var socket: CInt
        var process: CInt
        var atMost: Duration
    }

    /// Called by the observer's loop: replaces a guard that has ended, and sends what its socket did not take before.
    func keepUp() {
        state.withLock { state in
            state.isScheduled = false
            guard let helper = state.process?.helper else { return }
            // If no guard can be started, `advance` has told the observer.
            guard (try? advance(&state, isLost: helper.process.hasEnded)) != nil else { return }
            schedule(&state)
        }
    }

    /// Has the observer's loop call `keepUp`, if the guard has still to be told something, or to answer.
    private func schedule(_ state: inout State) {
        guard let observer = state.observer, !state.isScheduled, let process = state.process,
            !state.outbox.notices.isEmpty || !process.watches
        else { return }
        state.isScheduled = true
        _ = observer.loop.call(at: .now + Self.longestPause) { [weak self] in self?.keepUp() }
    }
}
