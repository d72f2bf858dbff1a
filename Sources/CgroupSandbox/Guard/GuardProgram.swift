internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// The guard program on disk.
struct GuardProgram: Sendable {
    let candidates: [ByteString]

    /// The first candidate that can be executed; the first of all where none can.
    var path: ByteString { candidates.first { isExecutable($0.description) } ?? candidates[0] }

    /// `CGRUN_GUARD` if set, else `cgrun-guard` beside this executable, else the one in `../libexec/cgrun`.
    init() throws(LaunchError) {
        if let path = ThisProcess.environmentVariable("CGRUN_GUARD"), let given = ByteString(path.utf8) {
            candidates = [given]
            return
        }
        guard let executable = ThisProcess.executablePath, let slash = executable.lastIndex(of: "/") else {
            throw LaunchError(.setup, "cannot tell where this program is (no /proc?)", remedy: "set CGRUN_GUARD")
        }
        let directory = executable[..<slash]
        candidates = ["\(directory)/cgrun-guard", "\(directory)/../libexec/cgrun/cgrun-guard"]
            .compactMap { ByteString($0.utf8) }
    }
}

/// A guard or a holder: a process of the guard's program, and this process's end of its socket.
struct Helper: ~Copyable {
    let process: ProcessDescriptor
    let control: Descriptor

    /// What a guard or a holder has said so far.
    enum Answer {
        /// It watches, or it holds its scope.
        case ready
        /// Nothing yet.
        case nothing
        /// Nothing, and nothing will come: the process has closed its socket, and should end soon.
        case hungUp
        /// The process has ended.
        case ended
    }

    /// How long a process may take to start, and to read its messages. One that takes longer is stopped, stuck or no
    /// guard.
    static var patience: Duration { .seconds(5) }

    /// Takes what the process has said, without waiting. Not to be called again after `ready`.
    static func takeAnswer(of process: borrowing ProcessDescriptor, at control: CInt) -> Answer {
        // Asked before the socket is read: a process that has ended by now sends nothing afterwards.
        let hasEnded = process.hasEnded
        var message = guard_contents()
        let result = guard_receive(control, &message)
        if result > 0, message.kind == GUARD_READY { return .ready }
        return hasEnded ? .ended : result == -EAGAIN || result == -EBADMSG || result > 0 ? .nothing : .hungUp
    }

    /// Waits until the process is ready or has ended.
    ///
    /// - Returns: `nothing` when the process did not answer in time.
    static func awaitAnswer(of process: borrowing ProcessDescriptor, at control: CInt) -> Answer {
        let deadline = BootTime.now + patience
        while true {
            let answer = takeAnswer(of: process, at: control)
            if answer == .ready || answer == .ended { return answer }
            if BootTime.now >= deadline { return .nothing }
            var poller = Poller()
            poller.add(answer == .hungUp ? -1 : control)
            poller.add(process.descriptor.rawValue)
            _ = poller.wait(deadline - .now)
        }
    }
}

extension GuardProgram {
    /// - Parameters:
    ///   - queue: sends the first messages, which the process finds when it starts.
    ///   - spawn: makes the process.
    func start(
        as name: ByteString, _ queue: (CInt) throws(SystemError) -> Void,
        _ spawn: (Program) throws(SpawnError) -> ProcessDescriptor = { program throws(SpawnError) in
            try program.start().takeProcess()
        }
    ) throws(LaunchError) -> Helper {
        do {
            let ends = try SocketPair()
            try queue(ends.near.rawValue)
            let null = try Descriptor(opening: "/dev/null", O_RDWR)
            var program = Program(candidates: candidates, arguments: [name], environment: ThisProcess.environment)
            // The guard gets nothing that this process inherited: a pipe must end with the job, not with the guard.
            program.descriptors = [null.rawValue, null.rawValue, null.rawValue, ends.far.rawValue]
            program.startsSession = true
            program.signalMask = .all
            program.workingDirectory = "/"
            let process = try spawn(program)
            return Helper(process: process, control: ends.keepNear())
        } catch let error as SpawnError {
            let tried = candidates.map(\.description).joined(separator: " and ")
            throw LaunchError(
                .setup, "cannot start the guard (tried \(tried)): \(error.system.errno)",
                remedy: "install cgrun-guard beside cgrun, or set CGRUN_GUARD to its path")
        } catch let error as SystemError {
            throw LaunchError(error)
        } catch {
            throw LaunchError(.setup, "\(error)")
        }
    }
}
