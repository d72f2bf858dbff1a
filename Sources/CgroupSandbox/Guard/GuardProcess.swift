internal import CLinux
internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// A running guard. It watches until it is dismissed or somebody kills it.
struct GuardProcess: ~Copyable {
    let process: ProcessDescriptor
    private let control: Descriptor
    /// Whether it has said so.
    private(set) var watches = false

    /// What a guard is told about one job.
    struct Ward: Sendable {
        /// The common name of the job's cgroups.
        var name: String
        /// What each cgroup is; the unified hierarchy first.
        var tags: [UInt8]
        /// Where the cgroups are, or will be.
        var parents: [CgroupDirectory]
        /// The process whose loss ends the job.
        var parent: ParentWatch?
        var recovery: LossRecovery?
        /// The cgroups once they exist; from then on a loss kills.
        var directories: [CgroupDirectory] = []

        var isArmed: Bool { !directories.isEmpty }

        func openKillFile() throws(SystemError) -> Descriptor { try directories[0].open("cgroup.kill", O_WRONLY) }

        /// - Returns: `nil` before the job is armed, and once its cgroup is removed: it is over then, and about to
        ///   be forgotten.
        func openKillFileIfThere() throws(SystemError) -> Descriptor? {
            guard isArmed else { return nil }
            do { return try openKillFile() } catch {
                let errors: [Errno] = [.noSuchFileOrDirectory, .operationNotSupportedByDevice]
                guard errors.contains(error.errno) else { throw error }
                return nil
            }
        }

        /// How many descriptors the guard has open for this job: at its start, and once it is armed.
        var descriptorCount: Int {
            (parent?.descriptor == nil ? 0 : 1) + (recovery?.descriptors.count ?? 0) + parents.count + 1
        }
    }

    /// What keeps the scope that the jobs are in.
    struct Holder: Sendable {
        /// A pidfd.
        var process: SharedDescriptor
        /// The process ends once nobody has this open.
        var control: SharedDescriptor
        /// The scope, once there is one.
        var directory: SharedDescriptor?
    }

    /// Starts a guard that knows the first of these jobs; `tellRest` is for the others.
    ///
    /// These are queued before the guard starts, as far as the queue goes: there is no moment at which
    /// it could see a loss and not be able to kill.
    ///
    /// - Parameter jobs: in the order of their numbers.
    static func start(
        _ program: GuardProgram, launcher: borrowing ProcessDescriptor, holder: Holder?,
        jobs: [(number: UInt64, ward: Ward)]
    ) throws(LaunchError) -> GuardProcess {
        let watched = launcher.descriptor.rawValue
        let helper = try program.start(as: "cgrun-guard") { socket throws(SystemError) in
            try send(.watch, guard_message(), [watched], to: socket)
            if let holder { try tell(of: holder, to: socket) }
            // Well below what a socket's queue takes.
            for (number, ward) in jobs.prefix(mostQueued) { try tell(number, ward, to: socket) }
        }
        return GuardProcess(process: helper.process, control: helper.control)
    }

    /// Tells of those jobs that `start` could not queue.
    ///
    /// - Throws: when the guard has ended meanwhile, too.
    func tellRest(of jobs: [(number: UInt64, ward: Ward)]) throws(SystemError) {
        for (number, ward) in jobs.dropFirst(Self.mostQueued) {
            try announce(number, ward)
            if let killFile = try ward.openKillFileIfThere() { try arm(number, ward, killFile: killFile) }
        }
    }

    private static var mostQueued: Int { 32 }

    private init(process: consuming ProcessDescriptor, control: consuming Descriptor) {
        self.process = process
        self.control = control
    }

    // MARK: Messages

    /// Waits until the guard says that it watches. Costs nothing once it has, even if it has ended since: that
    /// is told by its pidfd.
    mutating func awaitAnswer() -> Helper.Answer {
        if watches { return .ready }
        let answer = Helper.awaitAnswer(of: process, at: control.rawValue)
        watches = answer == .ready
        return answer
    }

    /// Tells of a job before its cgroups exist.
    func announce(_ number: UInt64, _ ward: Ward) throws(SystemError) {
        try patiently { socket throws(SystemError) in try Self.announce(number, ward, to: socket) }
    }

    /// Hands over `cgroup.kill` and the job's lock. From here on a loss kills.
    func arm(_ number: UInt64, _ ward: Ward, killFile: borrowing Descriptor) throws(SystemError) {
        try patiently { socket throws(SystemError) in try Self.arm(number, ward, killFile, to: socket) }
    }

    /// Tells that a manager is being asked to move the guard out of the cgroup with this hash.
    func awaitScope(_ cgroupBefore: UInt64) throws(SystemError) {
        try patiently { socket throws(SystemError) in
            try Self.send(.scope, guard_message(), job: cgroupBefore, [], to: socket)
        }
    }

    /// Hands over what keeps the jobs' scope.
    func tell(of holder: Holder) throws(SystemError) {
        try patiently { socket throws(SystemError) in try Self.tell(of: holder, to: socket) }
    }

    private static func tell(of holder: Holder, to socket: CInt) throws(SystemError) {
        let descriptors = [holder.process, holder.control, holder.directory].compactMap { $0?.descriptor.rawValue }
        try send(.holder, guard_message(), descriptors, to: socket)
    }

    /// Takes a job off of which nothing is left.
    func forget(_ number: UInt64) throws(SystemError) {
        try patiently { socket throws(SystemError) in try Self.send(.done, guard_message(), job: number, [], to: socket)
        }
    }

    private static func tell(_ number: UInt64, _ ward: Ward, to socket: CInt) throws(SystemError) {
        try announce(number, ward, to: socket)
        if let killFile = try ward.openKillFileIfThere() { try arm(number, ward, killFile, to: socket) }
    }

    private static func announce(_ number: UInt64, _ ward: Ward, to socket: CInt) throws(SystemError) {
        var descriptors: [CInt] = []
        var message = guard_message()
        message.groups = UInt8(ward.tags.count)
        withUnsafeMutableBytes(of: &message.tags) { $0.copyBytes(from: ward.tags) }
        withUnsafeMutableBytes(of: &message.name) { $0.copyBytes(from: ward.name.utf8) }
        if let parent = ward.parent?.descriptor {
            message.has_parent = true
            descriptors.append(parent)
        }
        if let recovery = ward.recovery {
            message.has_record = true
            message.has_report = recovery.report != nil
            message.has_target = recovery.target != nil
            descriptors += recovery.descriptors
        }
        try send(.job, message, job: number, descriptors + ward.parents.map { $0.descriptor.rawValue }, to: socket)
    }

    private static func arm(
        _ number: UInt64, _ ward: Ward, _ killFile: borrowing Descriptor, to socket: CInt
    ) throws(SystemError) {
        try send(
            .arm, guard_message(), job: number, [killFile.rawValue] + ward.directories.map { $0.descriptor.rawValue },
            to: socket)
    }

    enum Kind {
        case watch, job, arm, done, scope, hold, holder, ready

        var rawValue: UInt8 {
            switch self {
            case .watch: UInt8(GUARD_WATCH.rawValue)
            case .job: UInt8(GUARD_JOB.rawValue)
            case .arm: UInt8(GUARD_ARM.rawValue)
            case .done: UInt8(GUARD_DONE.rawValue)
            case .scope: UInt8(GUARD_SCOPE.rawValue)
            case .hold: UInt8(GUARD_HOLD.rawValue)
            case .holder: UInt8(GUARD_HOLDER.rawValue)
            case .ready: UInt8(GUARD_READY.rawValue)
            }
        }
    }

    static func send(
        _ kind: Kind, _ message: guard_message, job: UInt64 = 0, _ descriptors: [CInt],
        to socket: CInt
    ) throws(SystemError) {
        var message = message
        message.kind = kind.rawValue
        message.job = job
        message.descriptors = UInt8(descriptors.count)
        let result = withUnsafeBytes(of: message) {
            clinux_send(
                socket, $0.baseAddress!, MemoryLayout<guard_message>.size, descriptors, CUnsignedInt(descriptors.count))
        }
        guard result >= 0 else {
            throw SystemError("sendmsg", path: "the guard", errno: Errno(rawValue: -result))
        }
    }

    /// Waits while the guard's queue is full, or too many descriptors are on their way to it.
    private func patiently(_ body: (CInt) throws(SystemError) -> Void) throws(SystemError) {
        var deadline: BootTime?
        while true {
            do {
                try body(control.rawValue)
                return
            } catch {
                let isFull = error.errno == .resourceTemporarilyUnavailable || error.errno == .tooManyReferences
                guard isFull, !process.hasEnded, BootTime.now < (deadline ?? .now + Helper.patience) else {
                    throw error
                }
                deadline = deadline ?? .now + Helper.patience
                var pause = Poller()
                _ = pause.wait(.microseconds(200))
            }
        }
    }

    // MARK: The end

    /// Ends the guard without letting it act, and returns once it is gone. SIGKILL, because a
    /// stopped guard would not answer anything else.
    ///
    /// - Returns: how it ended, which may have been before.
    @discardableResult
    consuming func dismiss() -> ExitStatus? {
        // What is no guard may have children, in the session that was made for it. Nobody else has its number before
        // it is reaped.
        if !watches, clinux_pidfd_send_signal(process.descriptor.rawValue, 0) == 0 { process.sendToGroup(.kill) }
        try? process.send(.kill)
        return try? process.waitForEnd()
    }
}
