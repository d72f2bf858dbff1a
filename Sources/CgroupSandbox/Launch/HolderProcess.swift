internal import CLinux
internal import LinuxSystem
internal import SandboxValues

/// A process that keeps a scope by being in it, and ends once nobody has the other end of its socket open.
struct HolderProcess: ~Copyable {
    /// The process and its socket, which the guard's side shares.
    let helper: Helper
    private let program: GuardProgram
    var isLeftToGuard = false

    /// Starts a holder.
    init(_ program: GuardProgram) throws(LaunchError) {
        helper = try program.start(as: Self.name, Self.queue)
        self.program = program
    }

    /// - Parameters:
    ///   - first: the command, which the process starts when it is told to, before it becomes a holder.
    ///   - held: is set to the command that waits to be started.
    init(_ program: GuardProgram, startingFirst first: Program, _ held: inout HeldProgram?) throws(LaunchError) {
        helper = try program.start(as: Self.name, Self.queue) { holder throws(SpawnError) in
            held = try first.hold(before: holder)
            return held!.takeStarter()
        }
        self.program = program
    }

    private static let name: ByteString = "cgrun-holder"

    private static func queue(_ socket: CInt) throws(SystemError) {
        try guard_message(GUARD_HOLD).send(to: socket)
    }

    /// Returns once the process is a holder. To be called once, and not for a process that starts a command first.
    ///
    /// - Throws: when the process has ended, or does not answer.
    func check() throws(LaunchError) {
        switch helper.awaitAnswer() {
        case .ready where !helper.process.hasEnded: return
        case .ready, .ended, .hungUp: throw LaunchError(noGuard: program.path, "ended as a holder of a scope")
        case .nothing: throw LaunchError(noGuard: program.path, "did not answer as a holder of a scope")
        }
    }

    /// Tells the holder that a manager is being asked to move it out of the cgroups with this hash. A holder that has
    /// ended is no error here; `OpenScope.open` notices it.
    func awaitScope(_ cgroupBefore: UInt64) {
        try? guard_contents(GUARD_SCOPE, number: cgroupBefore).send(to: helper.control.rawValue)
    }

    /// Has the holder kill a cgroup before it ends.
    func arm(_ killFile: borrowing Descriptor) throws(SystemError) {
        var message = guard_message(GUARD_HOLD)
        message.kill_file = killFile.rawValue
        try message.send(to: helper.control.rawValue)
    }

    deinit {
        guard !isLeftToGuard else { return }
        // A holder that is stopped would not notice that its socket is closed.
        try? helper.process.send(.kill)
        _ = try? helper.process.waitForEnd(within: Helper.patience)
    }
}
