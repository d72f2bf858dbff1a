internal import CLinux
internal import Glibc
package import SandboxValues
internal import SystemPackage

extension ByteString {
    package init(cString: UnsafePointer<CChar>) {
        self.init(unchecked: Array(UnsafeRawBufferPointer(start: cString, count: strlen(cString))))
    }
}

/// A user and groups to run a program as.
public struct Credentials: Equatable, Sendable {
    /// Real, effective and saved.
    public var uid: UInt32
    /// Real, effective and saved.
    public var gid: UInt32
    /// All others; those of this program are given up.
    public var supplementaryGroups: [UInt32]

    /// Needs root at the job's start, which fails otherwise.
    public init(uid: UInt32, gid: UInt32, supplementaryGroups: [UInt32]) {
        self.uid = uid
        self.gid = gid
        self.supplementaryGroups = supplementaryGroups
    }
}

/// Everything that happens between clone3 and exec.
package struct Program: Sendable {
    /// Paths to try in turn, as a search through `PATH` gives them.
    package var candidates: [ByteString]
    package var arguments: [ByteString]
    /// `NAME=value` each.
    package var environment: [ByteString]
    package var workingDirectory: ByteString?
    package var credentials: Credentials?
    /// Descriptors to place at 0, 1, 2…, with everything above closed; `nil` leaves all as they are.
    package var descriptors: [CInt]?
    package var closesAboveStandardError = false
    /// A terminal to run on, in a session of its own: descriptors 0, 1 and 2, in place of `descriptors`.
    package var terminal: PseudoTerminal?
    package var startsSession = false
    /// What takes the places of these standard streams; the others, which must be open, stay as they are.
    package var replacedStreams: [Int: SharedDescriptor] = [:]
    package var resetsOOMScore = false
    /// Which variable of the environment gets the program's own pid, as socket activation wants it.
    package var variableWithOwnPID: String?
    package var signalMask = SignalSet()
    /// Whether what this process ignores stays ignored.
    package var keepsIgnoredSignals = false

    package init(candidates: [ByteString], arguments: [ByteString], environment: [ByteString]) {
        self.candidates = candidates
        self.arguments = arguments
        self.environment = environment
    }
}

/// Why a program did not start.
package struct SpawnError: Error, Sendable, Equatable {
    package enum Stage: Sendable, Equatable {
        case clone, oomScore, session, descriptors, terminal, credentials, workingDirectory, exec
        /// Writing into the join file with this number; 0 is the cgroup itself when clone3 could not place.
        case join(Int)
    }

    package var stage: Stage
    package var system: SystemError
}

package struct SpawnedProcess: ~Copyable, Sendable {
    package let process: ProcessDescriptor
    /// clone3 could not place the process in its cgroup; it joined by itself before exec.
    package let joinedLate: Bool

    package consuming func takeProcess() -> ProcessDescriptor { process }
}

extension Program {
    /// Starts the program, inside `cgroup` from its first instruction on, and returns once it runs.
    ///
    /// - Parameters:
    ///   - cgroup: directory of a cgroup v2, or `nil`.
    ///   - joinFiles: open `tasks` files of v1 cgroups, which the child enters before exec.
    /// - Throws: what failed and where. No process is left then.
    package func start(
        cgroup: CInt? = nil, joinFiles: [CInt] = []
    ) throws(SpawnError) -> SpawnedProcess {
        var result = clinux_spawned()
        let error = withPlan(cgroup, joinFiles) { clinux_spawn_program(&$0, &result) }
        return try started(result, error)
    }

    /// Makes a process that waits for `HeldProgram.start` to start this program, so that others can place it
    /// first, and then is its successor.
    package func hold(before successor: Program) throws(SpawnError) -> HeldProgram {
        var held = clinux_held()
        let error = withPlan(nil, []) { plan in
            successor.withPlan(nil, []) { clinux_hold_program(&plan, &$0, &held) }
        }
        guard error == 0 else {
            throw SpawnError(stage: .clone, system: SystemError("clone3", errno: Errno(rawValue: -error)))
        }
        return HeldProgram(self, held)
    }

    fileprivate func started(_ result: clinux_spawned, _ error: CInt) throws(SpawnError) -> SpawnedProcess {
        guard error == 0 else { throw failure(result, Errno(rawValue: -error)) }
        return SpawnedProcess(
            process: ProcessDescriptor(owning: result.pidfd, pid: result.pid), joinedLate: result.joined_late)
    }

    private func withPlan(
        _ cgroup: CInt?, _ joinFiles: [CInt], _ body: (inout clinux_spawn) -> CInt
    ) -> CInt {
        let candidates = CStringArray(candidates)
        let argv = CStringArray(arguments)
        let pidVariable = variableWithOwnPID.map { Array($0.utf8) + [UInt8(ascii: "=")] }
        let envp = CStringArray(
            environment.map { entry in
                guard let pidVariable, entry.bytes.starts(with: pidVariable) else { return entry }
                // Room for the digits.
                return ByteString(pidVariable + [UInt8](repeating: UInt8(ascii: "0"), count: 11)) ?? entry
            })
        let ownPID = pidVariable.flatMap { name in
            environment.firstIndex { $0.bytes.starts(with: name) }.flatMap { envp.pointers[$0] }.map { $0 + name.count }
        }
        var shell: [UnsafeMutablePointer<CChar>?] = [nil, nil] + argv.pointers.dropFirst()
        let directory = CStringArray([workingDirectory].compactMap { $0 })
        let groups = credentials?.supplementaryGroups ?? []
        var descriptors = terminal.map { [CInt](repeating: $0.peer.descriptor.rawValue, count: 3) } ?? descriptors
        for (place, stream) in replacedStreams {
            descriptors = descriptors ?? [0, 1, 2]
            descriptors?[place] = stream.descriptor.rawValue
        }
        let closeFrom = self.descriptors?.count ?? (closesAboveStandardError ? 3 : 0)
        return withExtendedLifetime((candidates, argv, envp, directory)) {
            shell.withUnsafeMutableBufferPointer { shell in
                joinFiles.withUnsafeBufferPointer { joins in
                    groups.withUnsafeBufferPointer { groups in
                        (descriptors ?? []).withUnsafeBufferPointer { placed in
                            candidates.pointers.withUnsafeBufferPointer { paths in
                                paths.withMemoryRebound(to: UnsafePointer<CChar>?.self) { paths in
                                    var plan = clinux_spawn(
                                        candidates: paths.baseAddress!, argv: argv.base, envp: envp.base,
                                        shell_argv: shell.baseAddress!, own_pid: ownPID,
                                        working_directory: directory.pointers[0].map { UnsafePointer($0) },
                                        cgroup: cgroup ?? -1,
                                        join_files: joins.baseAddress, join_count: CUnsignedInt(joins.count),
                                        descriptors: descriptors == nil ? nil : placed.baseAddress,
                                        descriptor_count: CUnsignedInt(placed.count),
                                        close_from: CUnsignedInt(closeFrom),
                                        new_session: startsSession || terminal != nil,
                                        takes_terminal: terminal != nil, reset_oom_score: resetsOOMScore,
                                        change_credentials: credentials != nil,
                                        uid: credentials?.uid ?? 0, gid: credentials?.gid ?? 0,
                                        groups: groups.baseAddress, group_count: CUnsignedInt(groups.count),
                                        mask: signalMask.raw, keep_ignored: keepsIgnoredSignals)
                                    return body(&plan)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    private func failure(_ spawned: clinux_spawned, _ errno: Errno) -> SpawnError {
        let command = (candidates.first { isExecutable($0.description) } ?? candidates.last)?.description
        func error(_ stage: SpawnError.Stage, _ operation: String, _ path: String? = nil) -> SpawnError {
            SpawnError(stage: stage, system: SystemError(operation, path: path, errno: errno))
        }
        switch spawned.stage {
        case CLINUX_STAGE_JOIN:
            return error(.join(Int(spawned.join_index) - (spawned.joined_late ? 1 : 0)), "write", "cgroup.procs")
        case CLINUX_STAGE_OOM: return error(.oomScore, "write", "/proc/self/oom_score_adj")
        case CLINUX_STAGE_SESSION: return error(.session, "setsid")
        case CLINUX_STAGE_DESCRIPTORS: return error(.descriptors, "close_range")
        case CLINUX_STAGE_TERMINAL: return error(.terminal, "ioctl(TIOCSCTTY)")
        case CLINUX_STAGE_CREDENTIALS: return error(.credentials, "setresuid")
        case CLINUX_STAGE_DIRECTORY:
            return error(.workingDirectory, "chdir", workingDirectory?.description)
        case CLINUX_STAGE_EXEC: return error(.exec, "execve", command)
        default: return error(.clone, "clone3")
        }
    }
}

/// A program that waits to be started by a process which the caller has made for that.
package struct HeldProgram: ~Copyable {
    private let program: Program
    private let held: clinux_held
    private var starter: ProcessDescriptor?

    fileprivate init(_ program: Program, _ held: clinux_held) {
        self.program = program
        self.held = held
        starter = ProcessDescriptor(owning: held.pidfd, pid: held.pid)
    }

    /// Hands out the process that waits, once. It ends with this process while it waits, and is its new owner's
    /// to end.
    package mutating func takeStarter() -> ProcessDescriptor { starter.take()! }

    /// Says that a manager is being asked to move the process that waits out of the cgroups with this hash.
    package func awaitScope(_ cgroupBefore: UInt64) {
        withUnsafePointer(to: held) { clinux_await_scope_held($0, cgroupBefore) }
    }

    /// Has the program started, as a child of this process and inside `cgroup` from its first instruction on,
    /// and returns once it runs.
    ///
    /// - Parameter cgroup: directory of a cgroup v2 to which the process that waits may move others.
    /// - Throws: what failed and where; `ECANCELED` where the process that waits was killed. No process of the
    ///   program is left then.
    package consuming func start(in cgroup: CInt) throws(SpawnError) -> SpawnedProcess {
        var result = clinux_spawned()
        let error = withUnsafePointer(to: held) { clinux_start_held($0, cgroup, &result) }
        return try program.started(result, error)
    }

    deinit { withUnsafePointer(to: held) { clinux_close_held($0) } }
}

/// C strings in one allocation, and the NULL-terminated array of pointers to them.
private final class CStringArray {
    private let storage: UnsafeMutablePointer<CChar>
    let pointers: [UnsafeMutablePointer<CChar>?]
    private let table: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

    init(_ strings: [ByteString]) {
        storage = .allocate(capacity: strings.reduce(1) { $0 + $1.bytes.count + 1 })
        var pointers: [UnsafeMutablePointer<CChar>?] = []
        pointers.reserveCapacity(strings.count + 1)
        var next = storage
        for string in strings {
            pointers.append(next)
            string.bytes.withUnsafeBytes {
                if let base = $0.baseAddress { memcpy(next, base, $0.count) }
            }
            next[string.bytes.count] = 0
            next += string.bytes.count + 1
        }
        pointers.append(nil)
        self.pointers = pointers
        table = .allocate(capacity: pointers.count)
        table.initialize(from: pointers, count: pointers.count)
    }

    var base: UnsafePointer<UnsafeMutablePointer<CChar>?> { UnsafePointer(table) }

    deinit {
        table.deallocate()
        storage.deallocate()
    }
}
