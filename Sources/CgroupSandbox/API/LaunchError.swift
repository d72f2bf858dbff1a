package import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// Why a job did not start. Nothing of it is left.
public struct LaunchError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of thing went wrong.
    public enum Kind: Sendable, Equatable {
        /// The cgroup, a limit, the guard or another part of the sandbox could not be had.
        case setup
        /// The command was not found.
        case notFound
        /// The command was found, but could not be executed.
        case notExecutable
        /// What was asked for makes no sense: an empty command, a NUL byte in an argument.
        case invalid
        /// The task was cancelled before the job could start.
        case cancelled
        /// The process that started this one was gone before the job could start.
        case parentLost
    }

    /// The case, for programs: texts may change.
    public var kind: Kind
    /// What happened, in one line.
    public var reason: String
    /// What to do about it, in one line; `nil` when nothing general can be said.
    public var remedy: String?
    /// The system call that failed, for programs.
    public var evidence: [Report.Evidence] = []

    /// For programs that refuse a job for reasons of their own.
    public init(_ kind: Kind, _ reason: String, remedy: String? = nil) {
        self.kind = kind
        self.reason = reason
        self.remedy = remedy
    }

    /// - Parameter wording: whether the texts call limits by the library's names or by options.
    package init(_ error: CgroupError, _ wording: Wording = .library) {
        self.init(.setup, error.reason(wording), remedy: error.remedy(wording))
    }

    package init(_ error: SystemError) { self.init(.setup, error.description, remedy: error.remedy) }

    /// The error for a guard's program that does not behave as a guard: it "left with status 1", for example.
    init(noGuard program: ByteString, _ what: String) {
        self.init(
            .setup, "the guard's program \(what); \(program) may be no guard",
            remedy: "set CGRUN_GUARD to the path of cgrun-guard")
    }

    /// The error for a guard's program that ended by itself, before or while it watched.
    init(guardEnded status: ExitStatus, program: ByteString) {
        switch status {
        case .exited(let code):
            self.init(noGuard: program, "left by itself, with status \(code)")
            // As the dynamic loader leaves.
            if code == 127 { remedy? += "; if that is it, see with ldd whether it lacks a library" }
        case .signaled(let signal, _):
            self.init(
                .setup, "the guard's program \(program) was ended by \(signal)",
                remedy: signal.rawValue == SIGSYS ? SystemError.filterRemedy : "build or install it anew")
        }
    }

    /// The error for a guard's program that could not be started.
    init(_ error: SpawnError, startingGuard program: GuardProgram) {
        let system = error.system
        switch (error.stage, system.errno) {
        case (.exec, .noSuchFileOrDirectory) where isExecutable(system.path ?? ""):
            self.init(
                .setup, "cannot start the guard: \(system): its dynamic loader is missing",
                remedy: "install the C library that it was built for")
        case (.exec, .noSuchFileOrDirectory):
            let tried = program.candidates.map(\.description).joined(separator: " and ")
            self.init(
                .setup, "cannot start the guard (tried \(tried)): \(system.errno)",
                remedy: "install cgrun-guard beside cgrun, or set CGRUN_GUARD to its path")
        default: self.init(.setup, "cannot start the guard: \(system)", remedy: system.remedy)
        }
    }

    init(_ error: SpawnError, command: String, _ wording: Wording) {
        let command = command.asName
        switch error.stage {
        case .clone where error.system.errno == .canceled:
            self.init(.setup, "the job's scope was stopped, or its holder killed, before the command could start")
        case .exec where error.system.errno == .noSuchFileOrDirectory && isExecutable(error.system.path ?? ""):
            self.init(
                .notExecutable, "\(command): cannot execute: the interpreter that its first line names is missing",
                remedy: "install it, or correct the line after #!")
        case .exec where error.system.errno == .noSuchFileOrDirectory:
            self.init(.notFound, "\(command): command not found")
        case .exec:
            let errno = error.system.errno
            let remedy = errno == .resourceTemporarilyUnavailable ? error.system.remedy : nil
            self.init(.notExecutable, "\(command): cannot execute: \(errno)", remedy: remedy)
        case .workingDirectory:
            self.init(
                .setup, "\(wording.choose("the working directory", options: "--working-directory")): \(error.system)")
        case .credentials:
            self.init(
                .setup, "\(wording.choose("the credentials", options: "--uid, --gid")): \(error.system)",
                remedy: "only root may change users")
        case .join(let index):
            self.init(
                .setup,
                "cannot enter the \(index < 0 ? "job's cgroup" : "v1 group"): \(error.system.errno)",
                remedy: "the caller must be allowed to write cgroup.procs of the job's cgroup and of its parent")
        default:
            self.init(.setup, error.system.description, remedy: error.system.remedy)
        }
        let errno = error.system.errno
        evidence = [Report.Evidence(source: error.system.operation, value: "errno \(errno.rawValue): \(errno)")]
    }

    /// The error for a command that could not start because its job met its own memory limit before.
    init(_ error: LaunchError, atMemoryLimit limit: ByteCount, _ wording: Wording) {
        let name = LimitKind.memoryMax.name.text(wording)
        self.init(
            .setup, "\(name) \(limit) is too little to start the command: \(error.reason)", remedy: "raise \(name)")
        evidence = error.evidence + [Report.Evidence(source: "memory.max", value: "\(limit.bytes)")]
    }

    /// What cgrun exits with: 125, 126 for `notExecutable`, 127 for `notFound`.
    public var exitCode: CInt {
        switch kind {
        case .setup, .invalid, .cancelled, .parentLost: 125
        case .notExecutable: 126
        case .notFound: 127
        }
    }

    var cause: Report.Cause {
        switch kind {
        case .setup, .invalid: .setupError
        case .cancelled: .cancelled
        case .parentLost: .parentLost
        case .notFound, .notExecutable: .execError
        }
    }

    /// Reason and remedy in one line.
    public var message: String { (remedy.map { "\(reason); \($0)" } ?? reason).inOneLine }
    /// The same as `message`, for whoever prints errors.
    public var description: String { message }
}

extension Hierarchies {
    /// The hierarchies that this process is in, or why it can launch no job in them.
    static func current(_ wording: Wording) throws(LaunchError) -> Hierarchies {
        do { return try current() } catch { throw LaunchError(error, wording) }
    }
}
