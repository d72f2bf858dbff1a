/// How much of the system a service may touch.
public struct Hardening: Equatable, Sendable {
    public enum Profile: String, Sendable, CaseIterable {
        /// Nothing is taken away.
        case off
        /// What ordinary network services never miss: they read the system and write their own
        /// directories, /var and /tmp of their own.
        case standard
        /// Only what is listed: no network, no home directories, nothing writable, no new code at run time.
        case strict
    }

    public var profile: Profile
    /// Directories that stay writable.
    public var writablePaths: [String]
    /// Whether `strict` leaves the network.
    public var allowsNetwork: Bool
    /// Whether the service manages cgroups of its own below its unit.
    public var allowsCgroups = false
    /// Whether a user's own systemd runs the service: it can make no user up, and it can take away what it
    /// has not got itself only in a user namespace.
    public var isForUserManager = false
    /// Whether `strict` sets its own file mode mask; not where the service has one.
    var setsUMask = true

    public init(_ profile: Profile, writablePaths: [String] = [], allowsNetwork: Bool = false) {
        self.profile = profile
        self.writablePaths = writablePaths
        self.allowsNetwork = allowsNetwork
    }
}

extension UnitFile.Section {
    /// - Parameter user: the unit's user; `strict` makes one up where there is none.
    mutating func setHardening(_ hardening: Hardening, user: String?) throws(UnitError) {
        guard hardening.profile != .off else { return }
        let isStrict = hardening.profile == .strict
        let isOrdinaryUser = hardening.isForUserManager || ![nil, "root", "0"].contains(user)
        var writable: [String] = []
        for path in hardening.writablePaths {
            // A directory that is not there yet must not keep the service from its start.
            writable.append(Quoting.pathWord("-" + (try Check.path(path, key: "ReadWritePaths"))))
        }
        let yes: [UnitKey] = [
            .noNewPrivileges, .privateTmp, .privateDevices, .protectClock, .protectHostname, .protectKernelLogs,
            .protectKernelModules, .protectKernelTunables, .lockPersonality, .restrictRealtime,
        ]
        for key in yes { set(key, "yes") }
        if !hardening.allowsCgroups {
            set(.protectControlGroups, "yes")
            // Takes openat2(2) away with it, by which cgroup files are opened.
            set(.restrictSUIDSGID, "yes")
        }
        set(.protectSystem, isStrict ? "strict" : "full")
        set(.protectHome, isStrict && writable.isEmpty ? "yes" : "read-only")
        set(.readWritePaths, words: writable)
        set(.protectProc, "invisible")
        set(.restrictNamespaces, "yes")
        set(.systemCallArchitectures, "native")
        if hardening.isForUserManager || (isStrict && !hardening.allowsCgroups) { set(.privateUsers, "yes") }
        // A refused call fails like any other, where a kill would leave nothing to read.
        set(.systemCallErrorNumber, "EPERM")
        set(.devicePolicy, "closed")
        // Another user could only get them back through a privileged program, which is ruled out above.
        // A service that is root opens low ports, and often becomes another user.
        set(
            .capabilityBoundingSet,
            isStrict || isOrdinaryUser
                ? "" : "CAP_NET_BIND_SERVICE CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SETGID CAP_SETUID")
        guard isStrict else {
            set(.restrictAddressFamilies, "AF_UNIX AF_INET AF_INET6 AF_NETLINK")
            set(.systemCallFilter, "@system-service")
            return
        }
        set(.procSubset, "pid")
        set(.memoryDenyWriteExecute, "yes")
        set(.removeIPC, "yes")
        if hardening.setsUMask { set(.umask, "0077") }
        if user == nil, !hardening.isForUserManager { set(.dynamicUser, "yes") }
        set(.systemCallFilter, "@system-service")
        set(.systemCallFilter, "~@privileged @resources")
        if hardening.allowsNetwork {
            set(.restrictAddressFamilies, "AF_UNIX AF_INET AF_INET6")
        } else {
            set(.restrictAddressFamilies, "AF_UNIX")
            set(.privateNetwork, "yes")
            set(.ipAddressDeny, "any")
        }
    }
}
