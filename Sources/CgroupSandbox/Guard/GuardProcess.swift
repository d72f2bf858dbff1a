internal import CLinux
internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// A running guard. It watches until it is dismissed or somebody kills it. Nothing here waits for it but `dismiss`.
struct GuardProcess: ~Copyable {
    let process: ProcessDescriptor
    private let control: Descriptor
    /// Whether it has said so.
    private(set) var watches = false
    /// Until when it has time to say so.
    let answerBy: BootTime

    /// What keeps the scope that the jobs are in.
    struct Holder: Sendable {
        /// A pidfd.
        var process: SharedDescriptor
        /// The process ends once nobody has this open.
        var control: SharedDescriptor
        /// The scope, once there is one.
        var directory: SharedDescriptor?
    }

    /// Something to tell a guard.
    enum Notice: Sendable {
        /// What keeps the jobs' scope.
        case holder
        /// A manager is being asked to move the guard out of the cgroup with this hash.
        case scope(UInt64)
        /// A job whose cgroups do not exist yet.
        case job(UInt64)
        /// The cgroups of a job exist; from here on a loss kills. `nil`: the file is opened when the time has come.
        case arm(UInt64, killFile: SharedDescriptor?)
        /// Nothing is left of a job.
        case done(UInt64)

        /// The job that it is about.
        var number: UInt64? {
            switch self {
            case .holder, .scope: nil
            case .job(let number), .arm(let number, _), .done(let number): number
            }
        }
    }

    /// Starts a guard.
    ///
    /// - Parameter queue: sends what the guard finds when it starts: there is no moment at which it could see a loss
    ///   and not be able to kill.
    static func start(
        _ program: GuardProgram, launcher: borrowing ProcessDescriptor, _ queue: (CInt) throws(SystemError) -> Void
    ) throws(LaunchError) -> GuardProcess {
        var watch = guard_message(GUARD_WATCH)
        watch.launcher = launcher.descriptor.rawValue
        let helper = try program.start(as: "cgrun-guard") { socket throws(SystemError) in
            try watch.send(to: socket)
            try queue(socket)
        }
        return GuardProcess(process: helper.process, control: helper.control)
    }

    private init(process: consuming ProcessDescriptor, control: consuming Descriptor) {
        self.process = process
        self.control = control
        answerBy = .now + Helper.patience
    }

    // MARK: Messages

    /// Where to wait for its answer, or for room for more messages.
    var socket: CInt { control.rawValue }

    /// Takes its answer, if it has come. Costs nothing once it has, even if the guard has ended since: that is told by
    /// its pidfd.
    mutating func takeAnswer() -> Helper.Answer {
        if watches { return .ready }
        let answer = Helper.takeAnswer(of: process, at: control.rawValue)
        watches = answer == .ready
        return answer
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

extension GuardProcess.Notice {
    /// Sends it. A job that nobody knows any more, or whose cgroup is gone, is nothing to tell of.
    ///
    /// - Parameter ward: the job that it is about.
    /// - Throws: as `guard_contents.send`, and for want of a descriptor.
    func send(to socket: CInt, about ward: Ward?, holder: GuardProcess.Holder?) throws(SystemError) {
        switch self {
        case .holder:
            guard let holder else { return }
            var message = guard_message(GUARD_HOLDER)
            message.holder = holder.process.descriptor.rawValue
            message.holder_socket = holder.control.descriptor.rawValue
            message.scope = holder.directory?.descriptor.rawValue ?? -1
            try message.send(to: socket)
        case .scope(let hash):
            var message = guard_message(GUARD_SCOPE)
            message.number = hash
            try message.send(to: socket)
        case .job(let number):
            guard let ward else { return }
            var message = guard_message(GUARD_JOB)
            message.number = number
            message.describeJob(ward.name, tags: ward.tags, parents: ward.parents.map { $0.descriptor.rawValue })
            message.parent = ward.parent?.descriptor ?? -1
            ward.recovery?.add(to: &message)
            try message.send(to: socket)
        case .arm(let number, let killFile):
            guard let ward else { return }
            var opened = killFile
            if opened == nil { opened = try ward.openKillFileIfThere() }
            guard let opened else { return }
            var message = guard_message(GUARD_ARM)
            message.number = number
            message.kill_file = opened.descriptor.rawValue
            message.setDirectories(ward.directories.map { $0.descriptor.rawValue })
            try message.send(to: socket)
        case .done(let number):
            var message = guard_message(GUARD_DONE)
            message.number = number
            try message.send(to: socket)
        }
    }
}
