internal import SandboxValues

// This directory has what cgroup v1 needs. On hybrid machines, cgroup v2 tracks and kills the jobs; child groups of the
// caller's own v1 groups limit them. To drop hybrid support, delete the directory and follow the compiler.

/// A v1 controller that enforces limits in place of a v2 controller.
package enum LegacyController: String, Sendable, CaseIterable {
    case memory, pids, cpu, cpuset, blkio

    /// The letter by which the guard and the finisher know the group of this controller: the first of its name, or `s`
    /// for `cpuset`, since `cpu` has that.
    var tag: UInt8 { self == .cpuset ? UInt8(ascii: "s") : rawValue.utf8.first! }

    var mount: String { "\(Hierarchies.root)/\(rawValue)" }

    /// The v2 controller for the same limits, which for all but block I/O has the same name.
    var modern: Controller { Controller(rawValue: rawValue) ?? .io }
}
