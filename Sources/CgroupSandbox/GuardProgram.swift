internal import Glibc
internal import LinuxSystem

/// The guard program on disk.
struct GuardProgram: Sendable {
    let candidates: [ByteString]

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
