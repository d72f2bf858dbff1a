internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// A guard or a holder: a process of the guard's program, and this process's end of its socket.
final class Helper: Sendable {
    let process: ProcessDescriptor
    let control: Descriptor

    init(_ process: consuming ProcessDescriptor, control: consuming Descriptor) {
        self.process = process
        self.control = control
    }

    /// The process's pidfd.
    var descriptor: CInt { process.descriptor.rawValue }

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
    func takeAnswer() -> Answer {
        // Asked before the socket is read: a process that has ended by now sends nothing afterwards.
        let hasEnded = process.hasEnded
        var message = guard_contents()
        let result = guard_receive(control.rawValue, &message)
        if result > 0, message.kind == GUARD_READY { return .ready }
        return hasEnded ? .ended : result == -EAGAIN || result == -EBADMSG || result > 0 ? .nothing : .hungUp
    }

    /// Waits until the process is ready or has ended.
    ///
    /// - Returns: `nothing` when the process did not answer in time.
    func awaitAnswer() -> Answer {
        let deadline = BootTime.now + Self.patience
        while true {
            let answer = takeAnswer()
            if answer == .ready || answer == .ended { return answer }
            if BootTime.now >= deadline { return .nothing }
            var poller = Poller()
            poller.add(answer == .hungUp ? -1 : control.rawValue)
            poller.add(descriptor)
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
            return Helper(process, control: ends.keepNear())
        } catch let error as SpawnError {
            throw LaunchError(error, startingGuard: self)
        } catch let error as SystemError {
            throw LaunchError(error)
        } catch {
            throw LaunchError(.setup, "\(error)")
        }
    }
}
