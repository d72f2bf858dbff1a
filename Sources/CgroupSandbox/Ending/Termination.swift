internal import LinuxSystem
internal import SandboxValues

/// Who wants the job to end, written down before anything is done about it: what cgrun knows of its own doing beats
/// whatever could be inferred from the way the command ended. Reports have the raw value.
enum StopReason: String, Sendable {
    case timeoutWall = "timeout"
    case timeoutCPU = "cpu_timeout"
    /// A SIGTERM to cgrun, or `stop()` by a program.
    case caller
    /// The task that waited for the job was cancelled.
    case cancelled
    case parentLost = "parent_lost"
    case launcherLost = "launcher_lost"
    case guardLost = "guard_lost"

    /// Whether the command is first asked to end, and given time. After a loss the job is killed at once.
    var isGraceful: Bool {
        switch self {
        case .timeoutWall, .timeoutCPU, .caller, .cancelled: true
        case .parentLost, .launcherLost, .guardLost: false
        }
    }
}

/// A stop in progress.
struct Stop: Sendable {
    var reason: StopReason
    /// Whether the command had ended before, so that this stop is for what it had left.
    var isForStrays = false
    var signal: Signal?
    var grace: Duration?
    /// When the grace is over; `nil` once it is.
    var killAt: BootTime?
    var escalated = false
}

/// Signals that cgrun saw while the command ran.
struct SignalLog: Sendable {
    /// Passed on to the command.
    var forwarded: [Signal] = []
    /// Sent by the terminal to the whole process group, the command included.
    var fromTerminal: [Signal] = []
}
