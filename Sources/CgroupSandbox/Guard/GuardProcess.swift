internal import CLinux
internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// A running guard, which watches until it is dismissed or killed. Of all methods, only `dismiss` waits for it.
struct GuardProcess: ~Copyable {
    let process: ProcessDescriptor
    private let control: Descriptor
    /// Whether the guard has said that it watches.
    private(set) var watches = false
    /// When the guard must have said that it watches.
    let answerBy: BootTime

    /// The process that keeps the scope of the jobs.
    struct Holder: Sendable {
        /// The pidfd of the holder.
        var process: SharedDescriptor
        /// The holder's socket: the holder ends once nobody has this end of it open.
        var control: SharedDescriptor
        /// The scope's directory, once it is there.
        var directory: SharedDescriptor?
    }

    /// Something to tell a guard.
    enum Notice: Sendable {
        /// Which process keeps the jobs' scope.
        case holder
        /// A manager is being asked to move the guard out of the cgroup with this hash.
        case scope(UInt64)
        /// A job whose cgroups do not exist yet.
        case job(UInt64)
        /// The cgroups of a job exist: from now on the guard kills it after a loss. `nil`: `send` opens the file.
        case arm(UInt64, killFile: SharedDescriptor?)
        /// Nothing is left of a job.
        case done(UInt64)

        /// The number of the job that the notice is about.
        var number: UInt64? {
            switch self {
            case .holder, .scope: nil
            case .job(let number), .arm(let number, _), .done(let number): number
            }
        }
    }

    /// Starts a guard.
    ///
    /// - Parameter queue: sends the messages that are in the socket before the guard starts. So a guard that sees a
    ///   loss already knows what to kill.
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

    /// The socket to wait at for the guard's answer, or for room for more messages.
    var socket: CInt { control.rawValue }

    /// Takes the guard's answer, if it has come. After `ready` no end of the guard is looked for: its pidfd tells that.
    mutating func takeAnswer() -> Helper.Answer {
        if watches { return .ready }
        let answer = Helper.takeAnswer(of: process, at: control.rawValue)
        watches = answer == .ready
        return answer
    }

    // MARK: The end

    /// Ends the guard without letting it kill anything, and returns once it is gone. SIGKILL, because a guard that is
    /// stopped would not act on anything else.
    ///
    /// - Returns: how the guard ended, now or before.
    @discardableResult
    consuming func dismiss() -> ExitStatus? {
        // A program that is not a guard may have children, in the session that was made for it. The number of its
        // process group means no other group before the program is reaped.
        if !watches, clinux_pidfd_send_signal(process.descriptor.rawValue, 0) == 0 { process.sendToGroup(.kill) }
        try? process.send(.kill)
        return try? process.waitForEnd()
    }
}

extension GuardProcess.Notice {
    /// Sends the notice. Nothing is sent about a job that is not registered any more, or whose cgroup is gone.
    ///
    /// - Parameter ward: the job that the notice is about.
    /// - Throws: as `guard_contents.send`, and when no descriptor is free.
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
