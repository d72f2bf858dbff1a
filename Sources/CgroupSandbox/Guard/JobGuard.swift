internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

/// Who waits for the end of guards, in order to have them replaced.
protocol GuardObserver: AnyObject, Sendable {
    /// A guard runs: this descriptor is readable once it has ended.
    ///
    /// - Throws: when its end would not be noticed. Then it is no use.
    func guardDidStart(_ descriptor: CInt) throws(SystemError)
    /// The descriptor is about to be closed.
    func guardWillClose(_ descriptor: CInt)
    /// There is no guard, and none to be had: no job must live on that was started before this is acted upon. Must
    /// not wait for anybody who may wait for the guard.
    func guardIsMissing()
}

/// The guard of a process's jobs, however many: one process, started with the first of them and
/// replaced when it dies.
final class JobGuard: Sendable {
    private let program: GuardProgram
    private let launcher: ProcessDescriptor
    private let observer: (any GuardObserver)?
    private let state = Locked(State())

    private struct State: ~Copyable {
        var process: GuardProcess?
        /// In the order of their numbers.
        var wards: [(number: UInt64, ward: GuardProcess.Ward)] = []
        var holder: GuardProcess.Holder?
        var lastNumber: UInt64 = 0
        var replaced = 0
        var descriptorCount = 0
        /// What the last guard that did not answer was refused with, and until when no other is waited for: those
        /// who want one meanwhile would otherwise wait as long, one after the other.
        var silence: (error: LaunchError, until: BootTime)?
    }

    /// No guard runs yet.
    init(_ program: GuardProgram, observer: (any GuardObserver)? = nil) throws(LaunchError) {
        self.program = program
        self.observer = observer
        do { launcher = try ProcessDescriptor(pid: ThisProcess.id) } catch { throw LaunchError(error) }
    }

    /// The guard at the moment, to be watched by whoever calls `replace`.
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

    /// Starts the guard, if it does not run yet, before there is a job for it. Whether it is one is not known yet.
    func start() throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in
            if state.process == nil { _ = try start(&state) }
        }
    }

    /// Returns once a guard watches.
    ///
    /// - Throws: when there is none to be had.
    func awaitWatch() throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in try secure(&state) }
    }

    /// The same for a guard that was put somewhere by its pid: another one would not be there.
    ///
    /// - Throws: when it has ended, too.
    func check() throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in
            switch state.process?.awaitAnswer() {
            case .ready where !Self.hasEnded(state): return
            case .nothing: throw .silent(program)
            default: throw LaunchError(noGuard: program.path, "ended before the command could start")
            }
        }
    }

    /// Registers a job before its cgroups exist.
    ///
    /// - Returns: the job's number.
    func register(_ ward: GuardProcess.Ward) throws(LaunchError) -> UInt64 {
        try state.withLock { state throws(LaunchError) in
            // The guard's hard limit is this process's: what did not fit would be lost on its way.
            let count = state.descriptorCount + ward.descriptorCount
            guard count + Self.ownDescriptors <= ThisProcess.hardDescriptorLimit else {
                throw LaunchError(
                    .setup, "the guard cannot hold more than \(state.wards.count) jobs: too many open files",
                    remedy: "raise the hard limit on open files (LimitNOFILE=, ulimit -Hn)")
            }
            state.lastNumber += 1
            let number = state.lastNumber
            state.wards.append((number, ward))
            state.descriptorCount = count
            do throws(LaunchError) {
                try tell(&state) { process throws(SystemError) in try process.announce(number, ward) }
            } catch {
                Self.remove(number, &state)
                throw error
            }
            return number
        }
    }

    /// Hands over the cgroups of a registered job, and returns once a guard watches. From here on a loss kills,
    /// and the command may start.
    func arm(_ number: UInt64, _ directories: [CgroupDirectory]) throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in
            guard let index = Self.index(of: number, state) else { return }
            var ward = state.wards[index].ward
            ward.directories = directories
            // Opened before anything is told: for want of a descriptor no guard need be replaced.
            let killFile = try Self.openKillFile(of: ward)
            state.wards[index].ward = ward
            try tell(&state) { process throws(SystemError) in try process.arm(number, ward, killFile: killFile) }
            try secure(&state)
        }
    }

    private static func openKillFile(of ward: GuardProcess.Ward) throws(LaunchError) -> Descriptor {
        do { return try ward.openKillFile() } catch { throw LaunchError(.openingKillFile(error)) }
    }

    /// Tells the guard, which runs, and the holder that a manager is being asked to move them out of the
    /// cgroups with this hash into scopes, the holder into that of the jobs.
    func awaitScope(_ cgroupBefore: UInt64, keptBy holder: borrowing HolderProcess) throws(LaunchError) {
        let process: SharedDescriptor
        do { process = SharedDescriptor(try holder.process.descriptor.duplicate()) } catch { throw LaunchError(error) }
        holder.awaitScope(cgroupBefore)
        try tell(of: GuardProcess.Holder(process: process, control: holder.control))
        try state.withLock { state throws(LaunchError) in
            try tell(&state) { process throws(SystemError) in try process.awaitScope(cgroupBefore) }
        }
    }

    /// Says which scope the holder keeps, for the guard to leave nothing of it.
    func keep(_ scope: consuming Descriptor) throws(LaunchError) {
        guard var holder = state.withLock({ $0.holder }) else { return }
        holder.directory = SharedDescriptor(scope)
        try tell(of: holder)
    }

    private func tell(of holder: GuardProcess.Holder) throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in
            state.holder = holder
            try tell(&state) { process throws(SystemError) in try process.tell(of: holder) }
        }
    }

    /// A guard that is gone needs not be told.
    private func forget(_ number: UInt64) {
        state.withLock { state in
            guard Self.remove(number, &state) else { return }
            switch state.process {
            case .some(let process): try? process.forget(number)
            case .none: break
            }
        }
    }

    /// Starts another guard in place of one that has ended, and returns once it watches all jobs.
    ///
    /// - Throws: when there is none to be had. Then no job must live on.
    func replace() throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in
            // Another thread, which had something to tell it, may have been faster.
            if Self.hasEnded(state) { try secure(&state, isLost: true) }
        }
    }

    private static func hasEnded(_ state: borrowing State) -> Bool {
        switch state.process {
        case .some(let process): process.process.hasEnded
        case .none: true
        }
    }

    /// Lets go of a job of which nothing is left, and with `ownsGuard` of the guard.
    func release(_ number: UInt64, ownsGuard: Bool) {
        if ownsGuard { dismiss() } else { forget(number) }
    }

    /// Ends the guard without letting it act, once nothing is left for it.
    func dismiss() {
        state.withLock { state in
            state.wards = []
            dismiss(&state)
        }
    }

    private func dismiss(_ state: inout State) {
        guard let process = state.process.take() else { return }
        observer?.guardWillClose(process.process.descriptor.rawValue)
        process.dismiss()
    }

    /// Standard streams, the socket, epoll, the launcher, and what is open for a moment only.
    private static let ownDescriptors = 24

    @discardableResult
    private static func remove(_ number: UInt64, _ state: inout State) -> Bool {
        guard let index = index(of: number, state) else { return false }
        state.descriptorCount -= state.wards.remove(at: index).ward.descriptorCount
        return true
    }

    private static func index(of number: UInt64, _ state: borrowing State) -> Int? {
        var (low, high) = (0, state.wards.count)
        while low < high {
            let middle = (low + high) / 2
            if state.wards[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low < state.wards.count && state.wards[low].number == number ? low : nil
    }

    /// Starts a guard that knows all jobs. Whether it is one is not known yet.
    ///
    /// - Returns: whether it was told of all; it may have been killed meanwhile, and there is none then.
    private func start(_ state: inout State) throws(LaunchError) -> Bool {
        if let silence = state.silence, .now < silence.until { throw silence.error }
        let jobs = state.wards
        let process = try GuardProcess.start(program, launcher: launcher, holder: state.holder, jobs: jobs)
        do throws(SystemError) { try observer?.guardDidStart(process.process.descriptor.rawValue) } catch {
            process.dismiss()
            throw LaunchError(error)
        }
        let isTold = (try? process.tellRest(of: jobs)) != nil
        state.process = consume process
        if !isTold { try bury(&state) }
        return isTold
    }

    /// How many guards in a row may be killed before they watch.
    private static let attempts = 30

    /// Returns once a guard watches that knows all jobs. One that was killed is replaced.
    ///
    /// - Parameter isLost: whether the present guard, if any, is no use any more.
    /// - Throws: when there is none to be had. Then there is none, no job must live on, and the observer knows.
    private func secure(_ state: inout State, isLost: Bool = false) throws(LaunchError) {
        do throws(LaunchError) {
            var lost = 0
            if isLost, state.process != nil {
                try bury(&state)
                lost += 1
            }
            while lost <= Self.attempts {
                if state.process == nil, try !start(&state) {
                    lost += 1
                    continue
                }
                switch state.process?.awaitAnswer() {
                case .ready:
                    state.replaced += lost
                    return
                case .nothing:
                    let error = LaunchError.silent(program)
                    state.silence = (error, .now + Helper.patience)
                    throw error
                case .ended, nil:
                    try bury(&state)
                    lost += 1
                }
            }
            throw LaunchError(noGuard: program.path, "was killed \(lost) times in a row before it watched")
        } catch {
            dismiss(&state)
            observer?.guardIsMissing()
            throw error
        }
    }

    /// Lets go of a guard that is lost.
    ///
    /// - Throws: when it left by itself: then its program is none, and another of it would be no better.
    private func bury(_ state: inout State) throws(LaunchError) {
        guard let lost = state.process.take() else { return }
        observer?.guardWillClose(lost.process.descriptor.rawValue)
        // Stuck or stopped, it gets no further; ended, it takes no notice.
        guard case .exited(let code) = lost.dismiss() else { return }
        throw LaunchError(noGuard: program.path, "left by itself, with status \(code)")
    }

    /// Tells the guard, or the one that takes its place and is told of all jobs.
    private func tell(
        _ state: inout State, _ message: (borrowing GuardProcess) throws(SystemError) -> Void
    ) throws(LaunchError) {
        // The first one starts while the first job's cgroups are made. After one that was lost or was none, nothing
        // is begun before another one watches.
        if state.process == nil, state.lastNumber <= 1, try start(&state) { return }
        let isTold: Bool
        switch state.process {
        case .some(let process): isTold = (try? message(process)) != nil
        case .none: isTold = false
        }
        if !isTold { try secure(&state, isLost: true) }
    }
}

extension LaunchError {
    fileprivate static func silent(_ program: GuardProgram) -> LaunchError {
        LaunchError(
            noGuard: program.path, "did not say within \(Helper.patience.components.seconds) s that it watches")
    }
}
