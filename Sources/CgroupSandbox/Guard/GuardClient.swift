internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// The guard of a process's jobs, however many: one process, started with the first of them and replaced when it dies.
///
/// What the guard has still to be told waits in an outbox until its socket takes it. Nobody waits for that while he
/// holds the lock, and the event loop's thread does not wait at all: a guard that is stopped delays no job's end, and no
/// other job's time limit. Only who starts a job waits, outside of the lock, until the guard knows of it.
final class GuardClient: Sendable {
    private let program: GuardProgram
    private let launcher: ProcessDescriptor
    private let state = Locked(State())

    private struct State: ~Copyable {
        var process: GuardProcess?
        /// In the order of their numbers.
        var wards: [(number: UInt64, ward: Ward)] = []
        var holder: GuardProcess.Holder?
        /// What the process has still to be told, in this order.
        var outbox: [GuardProcess.Notice] = []
        /// Since when its socket takes no more.
        var isFullSince: BootTime?
        var lastNumber: UInt64 = 0
        /// How often a guard had died and was replaced.
        var replaced = 0
        /// How many guards were lost since the last one that watched.
        var lostInARow = 0
        var descriptorCount = 0
        /// Whether another guard would be no use: the manager has put this one into a scope by its pid.
        var isIrreplaceable = false
        /// Where such a one was when it was found dead.
        var lastPlace: String?
        /// What the last guard that did not answer was refused with, and until when no other is waited for: those
        /// who want one meanwhile would otherwise wait as long, one after the other.
        var silence: (error: LaunchError, until: BootTime)?
        var observer: Observer?
        /// The observer's watch of the process's end.
        var watch: UInt64?
        /// Whether the observer's loop will come back for what could not be done at once.
        var isScheduled = false
    }

    /// Who sees to it that a guard that has ended is replaced.
    private struct Observer {
        let loop: EventLoop
        let whenMissing: @Sendable () -> Void
    }

    /// No guard runs yet.
    init(_ program: GuardProgram) throws(LaunchError) {
        self.program = program
        do { launcher = try ProcessDescriptor(pid: ThisProcess.id) } catch { throw LaunchError(error) }
    }

    /// Has a loop replace guards that end. To be called before there is one.
    ///
    /// - Parameter whenMissing: called by the loop when there is no guard, and none to be had: no job must live on that
    ///   was started before.
    func observe(by loop: EventLoop, whenMissing: @escaping @Sendable () -> Void) {
        state.withLock { $0.observer = Observer(loop: loop, whenMissing: whenMissing) }
    }

    /// The pidfd of the guard at the moment; -1 for none.
    var descriptor: CInt {
        state.withLock { state in
            switch state.process {
            case .some(let process): process.process.descriptor.rawValue
            case .none: -1
            }
        }
    }
    /// How often a guard had died and was replaced.
    var replacementCount: Int { state.withLock { $0.replaced } }
    var pid: ProcessID? {
        state.withLock { state in
            switch state.process {
            case .some(let process): process.process.pid
            case .none: nil
            }
        }
    }

    /// The cgroup of the guard at the moment, or of one that was pinned and is dead, as in `/proc/PID/cgroup`.
    var unifiedPath: String? { state.withLock { Self.place(of: $0) ?? $0.lastPlace } }

    private static func place(of state: borrowing State) -> String? {
        switch state.process {
        case .some(let process): try? Hierarchies.unifiedPath(of: process.process.pid)
        case .none: nil
        }
    }

    // MARK: Before there is a job

    /// Starts the guard, if it does not run yet. Whether it is one is not known yet.
    func start() throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in
            if state.process == nil { try start(&state) }
        }
    }

    /// Returns once a guard watches.
    ///
    /// - Throws: when there is none to be had.
    func awaitWatch() throws(LaunchError) { try wait(untilItWatches: true) { _ in true } }

    /// Keeps the guard that runs from being replaced: a manager is being told its pid, and another one would not be
    /// where this one is.
    func pin() { state.withLock { $0.isIrreplaceable = true } }

    /// Returns once the guard watches that was pinned.
    ///
    /// - Throws: when it does not, or has ended.
    func check() throws(LaunchError) {
        try awaitWatch()
        guard state.withLock({ !Self.hasEnded($0) }) else { throw endedTooEarly }
    }

    /// Tells the guard, which runs, and the holder that a manager is being asked to move them out of the
    /// cgroups with this hash into scopes, the holder into that of the jobs.
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

    /// Says which scope the holder keeps, for the guard to leave nothing of it.
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
    /// - Returns: the job's number.
    func register(_ ward: Ward) throws(LaunchError) -> UInt64 {
        let number = try state.withLock { state throws(LaunchError) in
            // The guard's hard limit is this process's: what did not fit would be lost on its way.
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
            // The first guard starts while the first job's cgroups are made. After one that was lost or was none,
            // nothing is begun before another one watches.
            try wait(untilItWatches: number > 1 && state.withLock { $0.process == nil }) {
                !$0.outbox.contains { $0.number == number }
            }
        } catch {
            forget(number)
            throw error
        }
        return number
    }

    /// Hands over the cgroups of a registered job, and returns once a guard watches. From here on a loss kills,
    /// and the command may start.
    func arm(_ number: UInt64, _ directories: [CgroupDirectory]) throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in
            guard let index = Self.index(of: number, state) else { return }
            state.wards[index].ward.directories = directories
            // Opened before anything is told: for want of a descriptor no guard need be replaced.
            let killFile: Descriptor
            do throws(SystemError) { killFile = try state.wards[index].ward.openKillFile() } catch {
                throw LaunchError(.openingKillFile(error))
            }
            if state.process != nil { state.outbox.append(.arm(number, killFile: SharedDescriptor(killFile))) }
        }
        try wait(untilItWatches: true) { !$0.outbox.contains { $0.number == number } }
    }

    /// Lets go of a job of which nothing is left. Never waits.
    func forget(_ number: UInt64) {
        state.withLock { state in
            guard let index = Self.index(of: number, state) else { return }
            state.descriptorCount -= state.wards.remove(at: index).ward.descriptorCount
            guard state.process != nil else { return }
            let isUnknown = state.outbox.contains { if case .job(number) = $0 { true } else { false } }
            state.outbox.removeAll { $0.number == number }
            if !isUnknown { state.outbox.append(.done(number)) }
            // A guard that is gone needs not be told; the observer has it replaced.
            _ = try? deliver(&state)
            schedule(&state)
        }
    }

    /// Ends the guard without letting it act, once nothing is left for it.
    func dismiss() {
        state.withLock { state in
            state.wards = []
            dismiss(&state)
        }
    }

    /// Standard streams, the socket, epoll, the launcher, and what is open for a moment only.
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
    /// How long a thread sleeps at most before it looks again: another one may have replaced what it waits for.
    private static let longestPause = Duration.milliseconds(5)
    /// How many guards in a row may be killed before they watch.
    private static let attempts = 30

    /// Returns once the condition holds, and with `untilItWatches` a guard watches that knows all jobs so far.
    ///
    /// - Throws: when there is no guard to be had. Then no job must live on, and the observer knows.
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

    /// What is worth waiting for.
    private struct Pause {
        /// -1: it tells nothing.
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

    /// The observer's loop: has a guard replaced that has ended, and tells what could not be told at once.
    private func keepUp() {
        state.withLock { state in
            state.isScheduled = false
            guard state.process != nil else { return }
            // Where there is none to be had, the observer hears of it.
            guard (try? advance(&state, isLost: Self.hasEnded(state))) != nil else { return }
            schedule(&state)
        }
    }

    /// Has the loop come back for what the guard has still to be told, or to say.
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
    /// Brings the guard as far as it goes without waiting: starts it, tells it what is in the outbox, takes its answer,
    /// and replaces it if it is lost.
    ///
    /// - Parameter isLost: whether the present guard is no use any more. Whether it has ended is noticed only when there
    ///   is something to tell.
    /// - Returns: what to wait for, if that is not far enough.
    /// - Throws: when there is no guard to be had. Then there is none, no job must live on, and the observer knows.
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
            // A socket may be ready and yet refuse descriptors, while too many are on their way.
            if isFull { pause.atMost = .microseconds(200) }
            if !isFull, !isHungUp, !process.watches { pause.socket = process.socket }
        case .none: break
        }
        return pause
    }

    /// Starts a guard, and queues for it what is to be said of all jobs. Whether it is one is not known yet.
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
        // Well below what a socket's queue takes.
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
                // A guard whose end nobody would notice is no use.
                process.dismiss()
                throw LaunchError(error)
            }
        }
        if state.lostInARow > 0 { state.replaced += 1 }
        state.process = consume process
    }

    private enum Delivery { case all, full, lost }

    /// Tells the guard what is in the outbox, as far as its socket takes it.
    ///
    /// - Throws: for want of a descriptor.
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
                // One that is stopped, or stuck, does not come back for its jobs.
                return BootTime.now - (state.isFullSince ?? .now) >= Helper.patience ? .lost : .full
            }
            count += 1
        }
        state.isFullSince = nil
        return .all
    }

    /// - Parameter socket: `nil` for that of the guard.
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

    /// - Throws: when the guard had time enough to say that it watches.
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

    /// Lets go of a guard that is lost.
    ///
    /// - Throws: when it left by itself: then its program is none, and another of it would be no better.
    private func bury(_ state: inout State) throws(LaunchError) {
        unwatch(&state)
        // Only until it is reaped can that be told.
        if state.isIrreplaceable { state.lastPlace = Self.place(of: state) }
        guard let lost = state.process.take() else { return }
        state.lostInARow += 1
        // Stuck or stopped, it gets no further; ended, it takes no notice.
        guard case .exited(let code) = lost.dismiss() else { return }
        throw LaunchError(noGuard: program.path, "left by itself, with status \(code)")
    }

    private func dismiss(_ state: inout State) {
        unwatch(&state)
        state.process.take()?.dismiss()
        state.outbox = []
        state.lostInARow = 0
    }

    /// Before the pidfd is closed.
    private func unwatch(_ state: inout State) {
        guard let watch = state.watch.take(), let observer = state.observer else { return }
        switch state.process {
        case .some(let process): observer.loop.unwatch(watch, process.process.descriptor.rawValue)
        case .none: break
        }
    }
}
