internal import CLinux
internal import SandboxValues
internal import SystemPackage

/// Why a program did not start.
package struct SpawnError: Error, Sendable, Equatable {
    package enum Stage: Sendable, Equatable {
        case clone, oomScore, session, descriptors, terminal, credentials, workingDirectory, exec
        /// Writing into the join file with this index; -1 is `cgroup.procs` of the cgroup itself, which the process
        /// writes where clone3 could not place it.
        case join(Int)
    }

    package var stage: Stage
    package var system: SystemError
}

package struct SpawnedProcess: ~Copyable, Sendable {
    package let process: ProcessDescriptor
    /// Whether clone3 could not place the process in its cgroup, so that the process joined by itself before exec.
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
    package func start(cgroup: CInt? = nil, joinFiles: [CInt] = []) throws(SpawnError) -> SpawnedProcess {
        var result = clinux_spawned()
        let error = withPlan(cgroup, joinFiles) { clinux_spawn_program(&$0, &result) }
        return try started(result, error)
    }

    func started(_ result: clinux_spawned, _ error: CInt) throws(SpawnError) -> SpawnedProcess {
        guard error == 0 else { throw failure(result, Errno(rawValue: -error)) }
        return SpawnedProcess(
            process: ProcessDescriptor(owning: result.pidfd, pid: result.pid), joinedLate: result.joined_late)
    }

    func withPlan(_ cgroup: CInt?, _ joinFiles: [CInt], _ body: (inout clinux_spawn) -> CInt) -> CInt {
        let memory = CMemory()
        defer { withExtendedLifetime(memory) {} }
        let pidVariable = variableWithOwnPID.map { Array($0.utf8) + [UInt8(ascii: "=")] }
        var ownPID: UnsafeMutablePointer<CChar>?
        let environment = environment.map { entry in
            guard ownPID == nil, let pidVariable, entry.bytes.starts(with: pidVariable) else {
                return memory.string(entry)
            }
            // Room for the digits, which the child writes.
            let room = memory.array(pidVariable.map(CChar.init(bitPattern:)) + [CChar](repeating: 0, count: 12))
            ownPID = room + pidVariable.count
            return room
        }
        let arguments: [UnsafeMutablePointer<CChar>?] = arguments.map { memory.string($0) }
        var descriptors = terminal.map { [CInt](repeating: $0.peer.descriptor.rawValue, count: 3) } ?? descriptors
        for (place, stream) in replacedStreams {
            descriptors = descriptors ?? [0, 1, 2]
            descriptors?[place] = stream.descriptor.rawValue
        }
        let closeFrom = self.descriptors?.count ?? (closesAboveStandardError ? 3 : 0)
        let groups = credentials?.supplementaryGroups ?? []
        var plan = clinux_spawn(
            candidates: memory.list(candidates.map(memory.string)), argv: memory.list(arguments),
            envp: memory.list(environment), shell_argv: memory.list([nil, nil] + arguments.dropFirst()),
            own_pid: ownPID, working_directory: workingDirectory.map(memory.string),
            cgroup: cgroup ?? -1, join_files: memory.array(joinFiles), join_count: CUnsignedInt(joinFiles.count),
            descriptors: descriptors.map(memory.array),
            descriptor_count: CUnsignedInt(descriptors?.count ?? 0), close_from: CUnsignedInt(closeFrom),
            new_session: startsSession || terminal != nil, takes_terminal: terminal != nil,
            reset_oom_score: resetsOOMScore,
            // A child that changes its uid must not share memory with a more privileged parent.
            copies_memory: copiesMemory || credentials != nil, change_credentials: credentials != nil,
            uid: credentials?.uid ?? 0, gid: credentials?.gid ?? 0,
            groups: memory.array(groups), group_count: CUnsignedInt(groups.count),
            mask: signalMask.raw, keep_ignored: keepsIgnoredSignals)
        return body(&plan)
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
