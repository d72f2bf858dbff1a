internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
public import SystemdBus

/// How a job's scope is called and placed, where systemd makes it.
public struct UnitOptions: Sendable, Equatable {
    /// Whose manager; `nil` is the system's for root and the caller's own for anybody else.
    public var domain: ServiceManager.Domain?
    /// The scope's name without `.scope`; `nil` makes one up. It can be used again once the job has ended.
    public var name: String?
    /// With its ending; `nil` is where the manager puts scopes.
    public var slice: String?
    /// What `systemctl status` shows, as one line: line ends and other control characters as escapes, without blanks
    /// at its ends. `nil` is the command, cut off after 200 characters.
    public var description: String?
    /// More properties of the scope.
    public var properties: [UnitProperty] = []

    /// Nothing asked for: the job goes where `JobSpec.manager` says.
    public init() {}

    /// Whether anything here needs systemd.
    var isGiven: Bool { self != UnitOptions() }

    var managerDomain: ServiceManager.Domain { domain ?? (ThisProcess.effectiveUserID == 0 ? .system : .user) }
}
