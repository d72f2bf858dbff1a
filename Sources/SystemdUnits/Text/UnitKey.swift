/// The directives that are written, in the order of systemd.unit(5), systemd.service(5), systemd.socket(5),
/// systemd.timer(5), systemd.exec(5), systemd.kill(5) and systemd.resource-control(5). Files keep this order. Cases are
/// called as their directives are, but for the first letter.
package enum UnitKey: String, Sendable, CaseIterable {
    // [Unit]
    case description, wants, requires, partOf, after, startLimitIntervalSec, startLimitBurst
    // [Service]
    case type, exitType, remainAfterExit, execStart, execStartPost, execReload, restartSec, timeoutStartSec
    case timeoutStopSec, runtimeMaxSec, watchdogSec, restart, successExitStatus, restartPreventExitStatus
    case restartForceExitStatus, notifyAccess, sockets
    case oomPolicy = "OOMPolicy"
    // [Socket]
    case listenStream, listenDatagram, backlog, socketUser, socketGroup, socketMode, service, removeOnStop
    // [Timer]
    case onBootSec, onUnitActiveSec, onCalendar, accuracySec, randomizedDelaySec, unit, persistent
    // systemd.exec(5)
    case workingDirectory, protectProc, procSubset, user, group, dynamicUser, supplementaryGroups
    case capabilityBoundingSet, noNewPrivileges, limitNOFILE
    case umask = "UMask"
    case protectSystem, protectHome, readWritePaths, privateTmp, privateDevices, privateNetwork, privateUsers
    case protectHostname, protectClock, protectKernelTunables, protectKernelModules, protectKernelLogs
    case protectControlGroups, restrictAddressFamilies, restrictNamespaces, lockPersonality
    case memoryDenyWriteExecute, restrictRealtime, restrictSUIDSGID, removeIPC, systemCallFilter
    case systemCallErrorNumber, systemCallArchitectures, environment, environmentFile, standardInput
    case standardOutput, standardError, syslogIdentifier
    // systemd.kill(5)
    case killMode, killSignal, sendSIGKILL
    // systemd.resource-control(5)
    /// The place of all directives that `LimitKind` names. No directive itself, so that it has no name.
    case limits = ""
    case ipAddressDeny = "IPAddressDeny"
    case devicePolicy, slice, delegate
    // [Install]
    case wantedBy

    /// The directive as it is written: `ExecStart`.
    package var name: String { rawValue.prefix(1).uppercased() + rawValue.dropFirst() }

    /// The directive's place in this list.
    var position: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}
