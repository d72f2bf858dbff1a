internal import Cgroups
internal import LinuxSystem
internal import SystemdBus

/// Who makes the job's cgroup.
public enum ManagerChoice: String, Sendable, CaseIterable, Codable {
    /// systemd where the machine was booted with it and it can be reached, else cgroupfs; and cgroupfs
    /// inside a job or a unit with `Delegate=`, so that the job stays within it.
    case auto
    /// systemd, which makes a transient scope for each job.
    case systemd
    /// This program, which makes a directory below its own cgroup, or below `JobSpec.cgroupParent`.
    case cgroupfs
}

/// The manager that was chosen, and why.
enum Manager: ~Copyable {
    case systemd(ServiceManager, because: String)
    case cgroupfs(because: String)
}

extension LaunchSpec {
    /// The environment variable that stands in for `auto`, except inside a job.
    private static let managerVariable = "CGRUN_CGROUP_MANAGER"

    /// Chooses the manager. Nothing else does.
    ///
    /// - Throws: when the manager that was asked for cannot be had; `auto` takes what can be had.
    func resolveManager(_ layout: Hierarchies) throws(LaunchError) -> Manager {
        switch manager {
        case .cgroupfs:
            guard !unit.isGiven else {
                throw LaunchError(
                    .setup, "--cgroup-manager cgroupfs makes no unit",
                    remedy: "leave out --user, --system, --slice, --unit, --description and --property")
            }
            return .cgroupfs(because: "asked for")
        case .systemd:
            return .systemd(try reachSystemd(layout), because: "asked for")
        case .auto where unit.isGiven:
            return .systemd(try reachSystemd(layout), because: "an option asks for a unit")
        case .auto:
            if job.cgroupParent != nil { return .cgroupfs(because: "--cgroup-parent names a cgroup") }
            // A scope would escape the limits of the job that this program is in.
            if let outer = layout.ownJob {
                return .cgroupfs(because: "inside the job \(outer), whose limits hold here, too")
            }
            switch ThisProcess.environmentVariable(Self.managerVariable) {
            case nil, "", "auto": break
            case "cgroupfs": return .cgroupfs(because: Self.managerVariable)
            case "systemd": return .systemd(try reachSystemd(layout), because: Self.managerVariable)
            case .some(let other):
                throw LaunchError(.setup, "\(Self.managerVariable)=\(other): expected auto, systemd or cgroupfs")
            }
            if let delegation = layout.delegation { return .cgroupfs(because: delegation) }
            guard ServiceManager.isBooted else { return .cgroupfs(because: "this machine was not booted with systemd") }
            do { return .systemd(try reachSystemd(layout), because: "systemd is booted and reachable") } catch {
                return .cgroupfs(because: error.reason)
            }
        }
    }

    private func reachSystemd(_ layout: Hierarchies) throws(LaunchError) -> ServiceManager {
        if job.cgroupParent != nil {
            throw LaunchError(
                .setup, "--cgroup-parent names a cgroup, but systemd places its units itself",
                remedy: "give --slice, or --cgroup-manager cgroupfs")
        }
        return try .reach(unit.managerDomain, layout, .options)
    }
}

extension ServiceManager {
    /// Connects to a manager that can make scopes.
    /// - Parameter wording: how errors call what can be done instead.
    /// - Throws: why no scope can be had, and what to do.
    static func reach(
        _ domain: Domain, _ layout: Hierarchies, _ wording: Wording
    ) throws(LaunchError) -> ServiceManager {
        let instead = wording.insteadOfSystemd
        guard ServiceManager.isBooted else {
            throw LaunchError(
                .setup, "this machine was not booted with systemd (no /run/systemd/system)", remedy: instead)
        }
        guard layout.mode == .unified else {
            throw LaunchError(
                .setup, "systemd limits units through cgroup v1 here, which cannot be handed over whole",
                remedy: "\(instead), or boot with systemd.unified_cgroup_hierarchy=1")
        }
        do { return try ServiceManager(domain) } catch { throw LaunchError(error, connectingTo: domain, wording) }
    }
}

extension Wording {
    fileprivate var insteadOfSystemd: String {
        choose("leave HostScope.enter out", options: "use --cgroup-manager cgroupfs")
    }
}

extension LaunchError {
    /// Why a manager could not be reached, and what is usually missing then.
    init(_ error: BusError, connectingTo domain: ServiceManager.Domain, _ wording: Wording) {
        let remedy: String? =
            switch (error.kind, domain) {
            case (.noLibrary, _): "install libsystemd0, or \(wording.insteadOfSystemd)"
            case (.unreachable, .user) where ThisProcess.environmentVariable("XDG_RUNTIME_DIR") == nil:
                "log in properly (sudo, su and cron start no user manager), or run loginctl enable-linger and "
                    + "set XDG_RUNTIME_DIR=/run/user/\(ThisProcess.effectiveUserID)"
            case (.unreachable, .user):
                "XDG_RUNTIME_DIR must be this user's own, /run/user/\(ThisProcess.effectiveUserID)"
            case (.unreachable, .system) where ThisProcess.effectiveUserID == 0:
                "give the container /run/systemd/private of its host, or \(wording.insteadOfSystemd)"
            case (.unreachable, .system):
                wording.choose("ask for the domain user", options: "leave out --system to use your own user manager")
            default: nil
            }
        self.init(.setup, "cannot reach systemd's \(domain.rawValue) manager: \(error)", remedy: remedy)
    }

    /// Why a manager did not make a scope.
    init(_ error: BusError, starting unit: String) {
        let remedy: String? =
            switch error.kind {
            case .refused("org.freedesktop.systemd1.UnitExists"):
                "give another --unit, or stop that one with systemctl stop \(unit)"
            case .refused("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"),
                .refused("org.freedesktop.DBus.Error.AccessDenied"):
                "leave out --system to use your own user manager, or run as root"
            case .refused("org.freedesktop.DBus.Error.PropertyReadOnly"),
                .refused("org.freedesktop.DBus.Error.UnknownProperty"):
                "this version of systemd has no such property for scopes"
            default: nil
            }
        self.init(.setup, "systemd did not make \(unit): \(error)", remedy: remedy)
    }
}
