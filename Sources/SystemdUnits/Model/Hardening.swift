/// How much of the system a service may touch: the sandbox of systemd.exec(5), as a set of twenty to thirty
/// directives.
public struct Hardening: Equatable, Sendable {
    /// A set of directives.
    public enum Profile: String, Sendable, CaseIterable {
        /// None: the service may do what its user may.
        case off
        /// Takes away what ordinary network services never miss: devices, the kernel's settings, the sight of other
        /// users' processes, new privileges, namespaces, unusual system calls, and writing to `/usr`, `/boot`, `/etc`
        /// and home directories (`ProtectSystem=full`, `ProtectHome=read-only`). The service still reads the system,
        /// uses the network and writes elsewhere, such as to `/var`; its `/tmp` is its own.
        case standard
        /// Takes away all that `standard` does, and also the network (`PrivateNetwork=yes`), writing anywhere but to
        /// `/tmp` and `writablePaths` (`ProtectSystem=strict`), home directories (`ProtectHome=yes`; read-only where
        /// there are `writablePaths`), every capability, and code that is made at run time as by a JIT compiler
        /// (`MemoryDenyWriteExecute=yes`). Where `Service.user` is `nil`, systemd makes a user up
        /// (`DynamicUser=yes`).
        case strict
    }

    /// The set of directives that is written.
    public var profile: Profile
    /// `ReadWritePaths=`: directories that stay writable, by their absolute paths without `.` and `..`; others are
    /// refused when the service's file is made. A directory may be missing at the start. Without effect with `off`.
    public var writablePaths: [String]
    /// Whether `strict` leaves the service the network: IPv4, IPv6 and Unix sockets. The other profiles always do.
    public var allowsNetwork: Bool
    /// Whether the service manages cgroups of its own below its unit: leaves out `ProtectControlGroups=` and
    /// `RestrictSUIDSGID=`, and `PrivateUsers=` with `strict`. No by default.
    public var allowsCgroups = false
    /// Whether a user's own systemd runs the service, and not the machine's: leaves out `DynamicUser=`, since that
    /// systemd cannot make users up, and adds `PrivateUsers=yes`, since it can take things away in a user namespace
    /// only. No by default.
    public var isForUserManager = false

    /// A profile, and what it leaves to the service in spite of it.
    public init(_ profile: Profile, writablePaths: [String] = [], allowsNetwork: Bool = false) {
        self.profile = profile
        self.writablePaths = writablePaths
        self.allowsNetwork = allowsNetwork
    }
}

extension UnitFile.Section {
    /// Adds the profile's directives to `[Service]`.
    ///
    /// - Parameters:
    ///   - user: the service's user; without one, `strict` has systemd make one up.
    ///   - setsUMask: whether `strict` sets `UMask=0077`.
    /// - Throws: for a writable path that is not absolute or has parts `.` or `..`.
    mutating func setHardening(_ hardening: Hardening, user: String?, setsUMask: Bool) throws(UnitError) {
        guard hardening.profile != .off else { return }
        let isStrict = hardening.profile == .strict
        let isOrdinaryUser = hardening.isForUserManager || ![nil, "root", "0"].contains(user)
        // A directory that is not there yet must not keep the service from its start: hence the dash.
        let writable = try hardening.writablePaths.map { (path) throws(UnitError) in
            Quoting.pathWord("-" + (try Check.path(path, key: "ReadWritePaths")))
        }
        var yes: [UnitKey] = [
            .noNewPrivileges, .privateTmp, .privateDevices, .protectClock, .protectHostname, .protectKernelLogs,
            .protectKernelModules, .protectKernelTunables, .lockPersonality, .restrictNamespaces, .restrictRealtime,
        ]
        // restrictSUIDSGID forbids openat2(2), too, by which cgrun opens files of cgroups.
        if !hardening.allowsCgroups { yes += [.protectControlGroups, .restrictSUIDSGID] }
        if hardening.isForUserManager || (isStrict && !hardening.allowsCgroups) { yes.append(.privateUsers) }
        if isStrict { yes += [.memoryDenyWriteExecute, .removeIPC] }
        if isStrict, !hardening.allowsNetwork { yes.append(.privateNetwork) }
        if isStrict, user == nil, !hardening.isForUserManager { yes.append(.dynamicUser) }
        for key in yes { set(key, "yes") }
        set(.protectSystem, isStrict ? "strict" : "full")
        set(.protectHome, isStrict && writable.isEmpty ? "yes" : "read-only")
        set(.readWritePaths, words: writable)
        set(.protectProc, "invisible")
        set(.systemCallArchitectures, "native")
        // A forbidden system call fails like any other. Without this systemd has the process killed, which tells
        // nobody what it had tried.
        set(.systemCallErrorNumber, "EPERM")
        set(.devicePolicy, "closed")
        // A service of another user than root needs no capabilities: it has none, and could get some only by a
        // set-user-ID program, which NoNewPrivileges= rules out. A service of root opens low ports, and often becomes
        // another user.
        set(
            .capabilityBoundingSet,
            isStrict || isOrdinaryUser
                ? "" : "CAP_NET_BIND_SERVICE CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SETGID CAP_SETUID")
        set(.systemCallFilter, "@system-service")
        guard isStrict else {
            set(.restrictAddressFamilies, "AF_UNIX AF_INET AF_INET6 AF_NETLINK")
            return
        }
        set(.procSubset, "pid")
        if setsUMask { set(.umask, "0077") }
        set(.systemCallFilter, "~@privileged @resources")
        set(.restrictAddressFamilies, hardening.allowsNetwork ? "AF_UNIX AF_INET AF_INET6" : "AF_UNIX")
        if !hardening.allowsNetwork { set(.ipAddressDeny, "any") }
    }
}
