internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
public import SystemdBus

/// How systemd names and places a job's scope.
public struct UnitOptions: Sendable, Equatable {
    /// Which manager makes the scope; `nil`: the system's for root, and the caller's own user manager for anybody else.
    public var domain: ServiceManager.Domain?
    /// The scope's name without `.scope`; `nil`: a name is made up. A name can be used again once the job has ended.
    public var name: String?
    /// The slice that the scope is put into, with `.slice`; `nil`: the manager chooses.
    public var slice: String?
    /// The scope's description in `systemctl status`. systemd gets it as one line, with escapes for line ends and other
    /// control characters, and without blanks at its ends. `nil`: the command, cut off after 200 characters.
    public var description: String?
    /// More properties of the job's scope, which replace those of the same name that cgrun sets.
    public var properties: [UnitProperty] = []

    /// No options: `LaunchSpec.manager` alone decides who makes the cgroup.
    public init() {}

    /// Whether any option is set: each of them needs systemd.
    var isGiven: Bool { self != UnitOptions() }

    var managerDomain: ServiceManager.Domain { domain ?? (ThisProcess.effectiveUserID == 0 ? .system : .user) }
}
