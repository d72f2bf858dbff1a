internal import Cgroups
internal import LinuxSystem

/// Who waits for the end of guards, in order to have them replaced.
protocol GuardObserver: AnyObject, Sendable {
    /// A guard runs: this descriptor is readable once it has ended.
    func guardDidStart(_ descriptor: CInt)
    /// The descriptor is about to be closed.
    func guardWillClose(_ descriptor: CInt)
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

    /// Starts the guard, if it does not run yet, before there is a job for it.
    func start() throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in
            if state.process == nil { try start(&state) }
        }
    }

    /// - Throws: when it has left by itself, or nobody replaced it: then its program is none.
    func check() throws(LaunchError) {
        if state.withLock({ Self.hasEnded($0) }) { throw LaunchError(noGuard: program.candidates[0]) }
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

    /// Hands over the cgroups of a registered job. From here on a loss kills.
    func arm(_ number: UInt64, _ directories: [CgroupDirectory]) throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in
            guard let index = Self.index(of: number, state) else { return }
            var ward = state.wards[index].ward
            ward.directories = directories
            // Opened before anything is told: for want of a descriptor no guard need be replaced.
            let killFile = try Self.openKillFile(of: ward)
            state.wards[index].ward = ward
            try tell(&state) { process throws(SystemError) in try process.arm(number, ward, killFile: killFile) }
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

    /// Starts another guard in place of one that has ended, and returns once it is armed for all jobs.
    ///
    /// - Throws: when there is none to be had. Then no job must live on.
    func replace() throws(LaunchError) {
        try state.withLock { state throws(LaunchError) in
            // Another thread, which had something to tell it, may have been faster.
            if Self.hasEnded(state) { try replace(&state) }
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
            if let process = state.process.take() {
                observer?.guardWillClose(process.process.descriptor.rawValue)
                process.dismiss()
            }
        }
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

    private func start(_ state: inout State) throws(LaunchError) {
        let jobs = state.wards
        for attempt in 1... {
            let process = try GuardProcess.start(
                program, launcher: launcher, holder: state.holder, jobs: jobs)
            do throws(SystemError) { try process.tellRest(of: jobs) } catch {
                // It was killed as well, while it was told; another one may be luckier.
                try bury(process)
                guard attempt < Self.attempts else { throw LaunchError(error) }
                continue
            }
            observer?.guardDidStart(process.process.descriptor.rawValue)
            state.process = consume process
            return
        }
    }

    /// How many guards in a row may be lost before they know all jobs.
    private static let attempts = 10

    /// - Throws: when the guard left by itself: then its program is none, and another of it would be no better.
    private func bury(_ lost: consuming GuardProcess) throws(LaunchError) {
        // Stuck or stopped, it gets no further; ended, it takes no notice.
        try? lost.process.send(.kill)
        guard case .exited = lost.end() else { return }
        throw LaunchError(noGuard: program.candidates[0])
    }

    /// Tells the guard, or the one that takes its place and is told of all jobs.
    private func tell(
        _ state: inout State, _ message: (borrowing GuardProcess) throws(SystemError) -> Void
    ) throws(LaunchError) {
        let isTold: Bool
        switch state.process {
        case .some(let process): isTold = (try? message(process)) != nil
        case .none: isTold = false
        }
        if !isTold { try replace(&state) }
    }

    private func replace(_ state: inout State) throws(LaunchError) {
        guard let lost = state.process.take() else { return try start(&state) }
        observer?.guardWillClose(lost.process.descriptor.rawValue)
        try bury(lost)
        try start(&state)
        state.replaced += 1
    }
}
