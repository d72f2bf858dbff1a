internal import CLinux
internal import SystemPackage

/// A program, and the process that `Program.hold` has made and that waits to start it.
package struct HeldProgram: ~Copyable {
    private let program: Program
    private let held: clinux_held
    private var starter: ProcessDescriptor?

    fileprivate init(_ program: Program, _ held: clinux_held) {
        self.program = program
        self.held = held
        starter = ProcessDescriptor(owning: held.pidfd, pid: held.pid)
    }

    /// Hands out the waiting process, once. The new owner has to end it; while it waits, it also ends with this
    /// process.
    package mutating func takeStarter() -> ProcessDescriptor { starter.take()! }

    /// Tells the waiting process that a manager is being asked to move it out of the cgroups with this hash.
    package func awaitScope(_ cgroupBefore: UInt64) { clinux_await_scope_held(held, cgroupBefore) }

    /// Has the program started, as a child of this process and inside `cgroup` from its first instruction on,
    /// and returns once it runs.
    ///
    /// - Parameter cgroup: directory of a cgroup v2 in which the waiting process may start processes.
    /// - Throws: what failed and where; `ECANCELED` where somebody killed the waiting process. No process of the
    ///   program is left then.
    package consuming func start(in cgroup: CInt) throws(SpawnError) -> SpawnedProcess {
        var result = clinux_spawned()
        let error = clinux_start_held(held, cgroup, &result)
        return try program.started(result, error)
    }

    deinit { clinux_close_held(held) }
}

extension Program {
    /// Makes a process that waits for `HeldProgram.start`, so that a manager can move it before. Then the process
    /// starts this program, and becomes `successor`.
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
}
