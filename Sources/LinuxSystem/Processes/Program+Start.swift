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
    package func start(
        cgroup: CInt? = nil, joinFiles: [CInt] = []
    ) throws(SpawnError) -> SpawnedProcess {
        var result = clinux_spawned()
        let error = withPlan(cgroup, joinFiles) { clinux_spawn_program(&$0, &result) }
        return try started(result, error)
    }

    func started(_ result: clinux_spawned, _ error: CInt) throws(SpawnError) -> SpawnedProcess {
        guard error == 0 else { throw failure(result, Errno(rawValue: -error)) }
        return SpawnedProcess(
            process: ProcessDescriptor(owning: result.pidfd, pid: result.pid), joinedLate: result.joined_late)
    }

    func withPlan(
        _ cgroup: CInt?, _ joinFiles: [CInt], _ body: (inout clinux_spawn) -> CInt
    ) -> CInt {
        let candidates = CStringArray(candidates)
        let argv = CStringArray(arguments)
        let pidVariable = variableWithOwnPID.map { Array($0.utf8) + [UInt8(ascii: "=")] }
        let envp = CStringArray(
            environment.map { entry in
                guard let pidVariable, entry.bytes.starts(with: pidVariable) else { return entry }
                // Room for the digits, which the child writes.
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
