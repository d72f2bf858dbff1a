internal import CLinux
internal import LinuxSystem
internal import SandboxValues

/// A process that does nothing but keep a scope, and ends once nobody holds its other end.
struct HolderProcess: ~Copyable {
    let process: ProcessDescriptor
    let control: SharedDescriptor
    private let program: GuardProgram
    var isLeftToGuard = false

    private init(_ helper: consuming Helper, _ program: GuardProgram) {
        self.program = program
        process = helper.process
        control = SharedDescriptor(helper.control)
    }

    static func start(_ program: GuardProgram) throws(LaunchError) -> HolderProcess {
        HolderProcess(try program.start(as: name, queue), program)
    }

    /// - Parameters:
    ///   - first: what the process starts before it is a holder, when it is told to.
    ///   - held: gets that program.
    static func start(
        _ program: GuardProgram, startingFirst first: Program, _ held: inout HeldProgram?
    ) throws(LaunchError) -> HolderProcess {
        let helper = try program.start(as: name, queue) { holder throws(SpawnError) in
            held = try first.hold(before: holder)
            return held!.takeStarter()
        }
        return HolderProcess(helper, program)
    }

    private static let name: ByteString = "cgrun-holder"

    private static func queue(_ socket: CInt) throws(SystemError) {
        try guard_message(GUARD_HOLD).send(to: socket)
    }

    /// Returns once it is a holder. Not for one that starts another program first, nor twice.
    ///
    /// - Throws: when it is none.
    func check() throws(LaunchError) {
        switch Helper.awaitAnswer(of: process, at: control.descriptor.rawValue) {
        case .ready where !process.hasEnded: return
        case .ready, .ended, .hungUp: throw LaunchError(noGuard: program.path, "ended as a holder of a scope")
        case .nothing: throw LaunchError(noGuard: program.path, "did not answer as a holder of a scope")
        }
    }

    /// Says that a manager is being asked to move it out of the cgroups with this hash. One that is gone needs
    /// not be told; `check` says so.
    func awaitScope(_ cgroupBefore: UInt64) {
        var message = guard_message(GUARD_SCOPE)
        message.number = cgroupBefore
        try? message.send(to: control.descriptor.rawValue)
    }

    /// Has it kill a cgroup when nobody holds its other end any more.
    func arm(_ killFile: borrowing Descriptor) throws(SystemError) {
        var message = guard_message(GUARD_HOLD)
        message.kill_file = killFile.rawValue
        try message.send(to: control.descriptor.rawValue)
    }

    deinit {
        guard !isLeftToGuard else { return }
        // A stopped process would not notice that it is let go.
        try? process.send(.kill)
        _ = try? process.waitForEnd()
    }
}
