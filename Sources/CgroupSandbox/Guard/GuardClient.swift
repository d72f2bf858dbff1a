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
    private let program: GuardProgram
    private let launcher: ProcessDescriptor
    private let state = Locked(State())

    private struct State: ~Copyable {
        var process: GuardProcess?
        /// The registered jobs, in the order of their numbers.
        var wards: [(number: UInt64, ward: Ward)] = []
        var holder: GuardProcess.Holder?
        /// What the guard has still to be told, in this order.
        var outbox: [GuardProcess.Notice] = []
        /// Since when the guard's socket has taken nothing; `nil` while it takes messages.
        var isFullSince: BootTime?
        var lastNumber: UInt64 = 0
        /// How often a guard that had died was replaced.
        var replaced = 0
        /// How many guards in a row were lost before they watched.
        var lostInARow = 0
        var descriptorCount = 0
        /// Whether the guard must not be replaced: a manager moves it by its pid, and would not move another.
        var isIrreplaceable = false
        /// The cgroup of a guard that must not be replaced, as it was when the guard was found dead.
        var lastPlace: String?
        /// The error for the last guard that did not answer in time, and until when all who want a guard get this
        /// error: otherwise each of them would wait as long for another guard, one after the other.
        var silence: (error: LaunchError, until: BootTime)?
        var observer: Observer?
        /// The watch by which the observer's loop learns of the guard's end.
        var watch: UInt64?
        /// Whether the observer's loop is going to call `keepUp`.
        var isScheduled = false
    }

    /// The event loop that has a guard replaced when it ends.
    private struct Observer {
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
    var descriptor: CInt {
        state.withLock { state in
            switch state.process {
            case .some(let process): process.process.descriptor.rawValue
            case .none: -1
            }
        }
    }
    var replacementCount: Int { state.withLock { $0.replaced } }
    var pid: ProcessID? {
        state.withLock { state in
            switch state.process {
            case .some(let process): process.process.pid
            case .none: nil
            }
        }
    }

    /// The cgroup of the present guard, or of a pinned guard that has died, as in `/proc/PID/cgroup`.
    var unifiedPath: String? { state.withLock { Self.place(of: $0) ?? $0.lastPlace } }

    private static func place(of state: borrowing State) -> String? {
        switch state.process {
        case .some(let process): try? Hierarchies.unifiedPath(of: process.process.pid)
        case .none: nil
        }
    }

    // MARK: Before there is a job

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
        guard state.withLock({ !Self.hasEnded($0) }) else { throw endedTooEarly }
    }

    /// Tells the running guard and the holder that a manager is being asked to move them out of the cgroups with this
    /// hash: the holder into the jobs' scope, the guard into the companion scope.
    func awaitScope(_ cgroupBefore: UInt64, keptBy holder: borrowing HolderProcess) throws(LaunchError) {
        let process: SharedDescriptor
        do { process = SharedDescriptor(try holder.process.descriptor.duplicate()) } catch { throw LaunchError(error) }
        holder.awaitScope(cgroupBefore)
        state.withLock { state in
            state.holder = GuardProcess.Holder(process: process, control: holder.control)
            state.outbox += [.holder, .scope(cgroupBefore)]
        }
        try wait { $0.outbox.isEmpty }
    }

    /// Hands the directory of the jobs' scope to the guard, which removes it after a loss if systemd does not.
    func keep(_ scope: consuming Descriptor) throws(LaunchError) {
        let scope = SharedDescriptor(scope)
        state.withLock { state in
            guard state.holder != nil else { return }
            state.holder?.directory = scope
            state.outbox.append(.holder)
        }
        try wait { $0.outbox.isEmpty }
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
                    .setup, "the guard cannot hold more than \(state.wards.count) jobs: too many open files",
                    remedy: "raise the hard limit on open files (LimitNOFILE=, ulimit -Hn)")
            }
            state.lastNumber += 1
            state.wards.append((state.lastNumber, ward))
            state.descriptorCount = count
            if state.process != nil { state.outbox.append(.job(state.lastNumber)) }
            return state.lastNumber
        }
        do {
            // The first guard starts while the first job's cgroups are made. After a guard was lost, or its program was
            // not a guard's, no job is begun before another guard watches.
            try wait(untilItWatches: number > 1 && state.withLock { $0.process == nil }) {
                !$0.outbox.contains { $0.number == number }
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
            guard let index = Self.index(of: number, state) else { return }
            state.wards[index].ward.directories = directories
            // Opened before the guard is told anything: if no descriptor is free, the guard need not be replaced.
            let killFile: Descriptor
            do throws(SystemError) { killFile = try state.wards[index].ward.openKillFile() } catch {
                throw LaunchError(.openingKillFile(error))
            }
            if state.process != nil { state.outbox.append(.arm(number, killFile: SharedDescriptor(killFile))) }
        }
        try wait(untilItWatches: true) { !$0.outbox.contains { $0.number == number } }
    }

    /// Has the guard forget a job of which nothing is left. Never waits.
    func forget(_ number: UInt64) {
        state.withLock { state in
            guard let index = Self.index(of: number, state) else { return }
            state.descriptorCount -= state.wards.remove(at: index).ward.descriptorCount
            guard state.process != nil else { return }
            let isUnknown = state.outbox.contains { if case .job(number) = $0 { true } else { false } }
            state.outbox.removeAll { $0.number == number }
            if !isUnknown { state.outbox.append(.done(number)) }
            // A guard that has ended need not be told: the next one never hears of this job.
            _ = try? deliver(&state)
            schedule(&state)
        }
    }

    /// Ends the guard without letting it kill anything. To be called when nothing is left of any job.
    func dismiss() {
        state.withLock { state in
            state.wards = []
            dismiss(&state)
        }
    }

    /// The guard's other descriptors: standard streams, socket, epoll, launcher, and what is open only for a moment.
    private static let ownDescriptors = 24

    private static func index(of number: UInt64, _ state: borrowing State) -> Int? {
        var (low, high) = (0, state.wards.count)
        while low < high {
            let middle = (low + high) / 2
            if state.wards[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low < state.wards.count && state.wards[low].number == number ? low : nil
    }
}

// MARK: - Waiting

extension GuardClient {
    /// How long a thread sleeps at most before it looks again: another thread may have replaced the guard meanwhile.
    private static let longestPause = Duration.milliseconds(5)
    /// How many guards in a row may be killed before they watch.
    private static let attempts = 30

    /// Returns once the condition holds and, with `untilItWatches`, a guard watches that knows all jobs so far.
    ///
    /// - Throws: when no guard can be started. Then no job may live on, and the observer is told.
    private func wait(
        untilItWatches: Bool = false, _ isMet: (borrowing State) -> Bool
    ) throws(LaunchError) {
        while true {
            let pause = try state.withLock { state throws(LaunchError) in
                let pause = try advance(&state)
                return isMet(state) && (!untilItWatches || Self.watches(state)) ? nil : pause
            }
            guard let pause else { return }
            var poller = Poller()
            poller.add(pause.socket)
            poller.add(pause.process)
            _ = poller.wait(pause.atMost)
        }
    }

    /// What a thread waits for before it looks again.
    private struct Pause {
        /// -1 where nothing is expected from the socket.
        var socket: CInt
        var process: CInt
        var atMost: Duration
    }

    private static func watches(_ state: borrowing State) -> Bool {
        switch state.process {
        case .some(let process): process.watches
        case .none: false
        }
    }

    private static func hasEnded(_ state: borrowing State) -> Bool {
        switch state.process {
        case .some(let process): process.process.hasEnded
        case .none: true
        }
    }

    /// Called by the observer's loop: replaces a guard that has ended, and sends what its socket did not take before.
    private func keepUp() {
        state.withLock { state in
            state.isScheduled = false
            guard state.process != nil else { return }
            // If no guard can be started, `advance` has told the observer.
            guard (try? advance(&state, isLost: Self.hasEnded(state))) != nil else { return }
            schedule(&state)
        }
    }

    /// Has the observer's loop call `keepUp`, if the guard has still to be told something, or to answer.
    private func schedule(_ state: inout State) {
        guard let observer = state.observer, !state.isScheduled, state.process != nil,
            !state.outbox.isEmpty || !Self.watches(state)
        else { return }
        state.isScheduled = true
        _ = observer.loop.call(at: .now + Self.longestPause) { [weak self] in self?.keepUp() }
    }
}

// MARK: - The guard's process

extension GuardClient {
    /// Gets on with the guard as far as is possible without waiting: starts it, sends what is in the outbox, takes the
    /// guard's answer, and replaces a guard that is lost.
    ///
    /// - Parameter isLost: whether the caller knows that the present guard has ended. Otherwise the end of a guard that
    ///   watches is noticed only when there is something to send.
    /// - Returns: what to wait for, if that is not far enough.
    /// - Throws: when no guard can be started. Then there is none, no job may live on, and the observer is told.
    private func advance(_ state: inout State, isLost: Bool = false) throws(LaunchError) -> Pause {
        do throws(LaunchError) {
            if isLost { try bury(&state) }
            while true {
                if state.process == nil { try start(&state) }
                let delivery = try deliver(&state)
                if delivery == .lost {
                    try bury(&state)
                    continue
                }
                switch state.process?.takeAnswer() {
                case .ready:
                    state.lostInARow = 0
                    return Self.pause(state, isFull: delivery == .full, isHungUp: false)
                case .ended, nil: try bury(&state)
                case .some(let answer):
                    try checkPatience(&state)
                    return Self.pause(state, isFull: delivery == .full, isHungUp: answer == .hungUp)
                }
            }
        } catch {
            dismiss(&state)
            if let observer = state.observer { _ = observer.loop.call(at: .now, observer.whenMissing) }
            throw error
        }
    }
    private static func pause(_ state: borrowing State, isFull: Bool, isHungUp: Bool) -> Pause {
        var pause = Pause(socket: -1, process: -1, atMost: longestPause)
        switch state.process {
        case .some(let process):
            pause.process = process.process.descriptor.rawValue
            // poll(2) may call a socket ready that refuses descriptors, since too many are on their way.
            if isFull { pause.atMost = .microseconds(200) }
            if !isFull, !isHungUp, !process.watches { pause.socket = process.socket }
        case .none: break
        }
        return pause
    }

    /// Starts the guard's program, and queues what it has to be told of all jobs.
    private func start(_ state: inout State) throws(LaunchError) {
        if let silence = state.silence, .now < silence.until { throw silence.error }
        guard !state.isIrreplaceable || state.lostInARow == 0 else { throw endedTooEarly }
        guard state.lostInARow <= Self.attempts else {
            throw LaunchError(
                noGuard: program.path, "was killed \(state.lostInARow) times in a row before it watched")
        }
        state.isFullSince = nil
        state.outbox = state.holder == nil ? [] : [.holder]
        for (number, ward) in state.wards {
            state.outbox.append(.job(number))
            if ward.isArmed { state.outbox.append(.arm(number, killFile: nil)) }
        }
        // Well below what a socket takes that nobody reads yet.
        let queued = state.outbox.prefix(64)
        let process = try GuardProcess.start(program, launcher: launcher) { socket throws(SystemError) in
            for notice in queued { try Self.send(notice, state, to: socket) }
        }
        state.outbox.removeFirst(queued.count)
        if let observer = state.observer {
            do throws(SystemError) {
                state.watch = try observer.loop.watch(process.process.descriptor.rawValue, for: .reading) {
                    [weak self] in self?.keepUp()
                }
            } catch {
                // Nobody would notice the end of this guard.
                process.dismiss()
                throw LaunchError(error)
            }
        }
        if state.lostInARow > 0 { state.replaced += 1 }
        state.process = consume process
    }

    private enum Delivery { case all, full, lost }

    /// Sends the guard what is in the outbox, as far as its socket takes it.
    ///
    /// - Throws: when no descriptor is free.
    private func deliver(_ state: inout State) throws(LaunchError) -> Delivery {
        var count = 0
        defer { state.outbox.removeFirst(count) }
        while count < state.outbox.count {
            do throws(SystemError) {
                try Self.send(state.outbox[count], state)
            } catch {
                guard error.operation == "sendmsg" else { throw LaunchError(.openingKillFile(error)) }
                guard error.errno == .resourceTemporarilyUnavailable || error.errno == .tooManyReferences else {
                    return .lost
                }
                if count > 0 || state.isFullSince == nil { state.isFullSince = .now }
                // A guard that has read nothing for so long is stopped or stuck, and is replaced.
                return BootTime.now - (state.isFullSince ?? .now) >= Helper.patience ? .lost : .full
            }
            count += 1
        }
        state.isFullSince = nil
        return .all
    }

    /// - Parameter socket: `nil`: that of the present guard.
    private static func send(
        _ notice: GuardProcess.Notice, _ state: borrowing State, to socket: CInt? = nil
    ) throws(SystemError) {
        let control: CInt
        switch state.process {
        case .some(let process): control = socket ?? process.socket
        case .none: control = socket ?? -1
        }
        let ward = notice.number.flatMap { number in index(of: number, state).map { state.wards[$0].ward } }
        try notice.send(to: control, about: ward, holder: state.holder)
    }

    /// - Throws: when the guard has not said in time that it watches.
    private func checkPatience(_ state: inout State) throws(LaunchError) {
        switch state.process {
        case .some(let process) where process.answerBy <= .now: break
        default: return
        }
        let error = LaunchError(
            noGuard: program.path, "did not say within \(Helper.patience.components.seconds) s that it watches")
        state.silence = (error, .now + Helper.patience)
        throw error
    }

    private var endedTooEarly: LaunchError {
        LaunchError(noGuard: program.path, "ended before the command could start")
    }

    /// Ends a guard that is lost, and forgets it.
    ///
    /// - Throws: when it had exited by itself: then its program is not a guard's, and starting it again would not help.
    private func bury(_ state: inout State) throws(LaunchError) {
        unwatch(&state)
        // A process's cgroup can be read only until the process is reaped.
        if state.isIrreplaceable { state.lastPlace = Self.place(of: state) }
        guard let lost = state.process.take() else { return }
        state.lostInARow += 1
        // `dismiss` kills a guard that is stuck or stopped; of a guard that was dead before, it tells how that ended.
        guard case .exited(let code) = lost.dismiss() else { return }
        throw LaunchError(noGuard: program.path, "left by itself, with status \(code)")
    }

    private func dismiss(_ state: inout State) {
        unwatch(&state)
        state.process.take()?.dismiss()
        state.outbox = []
        state.lostInARow = 0
    }

    /// Ends the watch of the guard's pidfd, which must not be closed before.
    private func unwatch(_ state: inout State) {
        guard let watch = state.watch.take(), let observer = state.observer else { return }
        switch state.process {
        case .some(let process): observer.loop.unwatch(watch, process.process.descriptor.rawValue)
        case .none: break
        }
    }
}
