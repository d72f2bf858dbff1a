/// A cgroup v2 controller.
public enum Controller: String, Sendable, CaseIterable {
    /// Which processors.
    case cpuset
    /// CPU time. Its accounting needs no controller.
    case cpu
    /// What is read from and written to devices.
    case io
    /// Memory, page cache and swap.
    case memory
    /// Processes and threads.
    case pids
}
