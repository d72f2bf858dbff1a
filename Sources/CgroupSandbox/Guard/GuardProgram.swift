internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// The guard program on disk.
struct GuardProgram: Sendable {
    let candidates: [ByteString]

    /// The candidate that is executed, as far as that can be told.
    var path: ByteString { candidates.first { isExecutable($0.description) } ?? candidates[0] }

    /// `CGRUN_GUARD` if set, else beside this executable, else in `../libexec/cgrun`.
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

/// A process of the guard program, and the near end of its socket.
struct Helper: ~Copyable {
    let process: ProcessDescriptor
    let control: Descriptor

    /// What a process said within its time.
    enum Answer { case ready, ended, nothing }

    /// How long a process may take to start, and to read its messages; longer, and it is stopped, stuck, or no guard.
    static var patience: Duration { .seconds(5) }

    /// Waits until the process says that it is at its post. To be asked until it has, and not again.
    static func awaitAnswer(of process: borrowing ProcessDescriptor, at control: CInt) -> Answer {
        let deadline = BootTime.now + patience
        var isOpen = true
        while true {
            var poller = Poller()
            poller.add(isOpen ? control : -1)
            poller.add(process.descriptor.rawValue)
            let ready = poller.wait(deadline - .now)
            if ready[0] {
                var message = guard_message()
                let size = withUnsafeMutableBytes(of: &message) { clinux_read(control, $0.baseAddress!, $0.count) }
                if size > 0, message.kind == GuardProcess.Kind.ready.rawValue { return .ready }
                // Its end follows. Before that, the kernel tells of messages that it has not read.
                if size <= 0, size != -Int(ECONNRESET) { isOpen = false }
            } else if ready[1] {
                return .ended
            }
            if BootTime.now >= deadline { return .nothing }
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
            // Nothing that this process inherited: a pipe must end with the job, not with the guard.
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
