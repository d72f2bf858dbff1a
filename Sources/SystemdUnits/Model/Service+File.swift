internal import SandboxValues

extension Service {
    /// The service's file, to be put where `UnitFile.path` says.
    ///
    /// - Throws: for the first value that systemd would refuse or take for something else: a path that is not
    ///   absolute, a number out of its range, a user or group that cannot be one, a name of a unit without its
    ///   ending, a command or variable that cannot be written, or a `summary` or `syslogIdentifier` of more than one
    ///   line, with control characters, with a blank at either end or with a backslash at its end. Exit statuses are
    ///   not looked at.
    public func file() throws(UnitError) -> UnitFile {
        UnitFile(
            path: name.description, header: header,
            sections: [try unitSection(), try serviceSection(), try .install(wantedBy: wantedBy)])
    }

    private func unitSection() throws(UnitError) -> UnitFile.Section {
        var section = try UnitFile.Section.unit(summary, dependencies)
        if let startLimit {
            section.set(.startLimitIntervalSec, ValueText.span(startLimit.interval))
            try section.set(.startLimitBurst, startLimit.burst, Check.count)
        } else if restart != .no {
            section.set(.startLimitIntervalSec, "0", comment: "Never give up; RestartSec= keeps a crash loop slow.")
        }
        return section
    }

    private func serviceSection() throws(UnitError) -> UnitFile.Section {
        var section = UnitFile.Section("Service")
        setStart(&section)
        try section.set(command, environment: environment)
        if settleTime > .zero {
            // A program that is gone by then has not started, even if it exited with 0. A service that lasts as long as
            // any of its processes may lose its main process meanwhile; then systemd itself sees whether others are left.
            let wait = "sleep \(settleTime.components.seconds)" + (waitsForAll ? "" : " && kill -0 $MAINPID")
            section.set(.execStartPost, ":/bin/sh " + Quoting.word("-c") + " " + Quoting.word(wait))
        }
        section.set(.execReload, reloadSignal.map { "/bin/kill -\(Self.killName($0)) $MAINPID" })
        section.set(.execReload, try reloadCommand?.text())
        section.set(.timeoutStartSec, startTimeout.map(ValueText.span))
        section.set(.runtimeMaxSec, runtimeLimit.map(ValueText.span))
        section.set(.watchdogSec, watchdog.map(ValueText.span))
        section.set(.restart, restart.rawValue)
        if restart != .no { section.set(.restartSec, ValueText.span(restartDelay)) }
        section.set(.successExitStatus, words: successExitStatuses)
        section.set(.restartPreventExitStatus, words: restartPreventExitStatuses)
        section.set(.restartForceExitStatus, words: restartForceExitStatuses)
        for socket in sockets { try section.set(.sockets, socket, UnitName.checkReference) }
        section.set(.oomPolicy, oomPolicy.rawValue)
        try setSurroundings(&section)
        section.set(.killMode, killMode.rawValue)
        section.set(.killSignal, stopSignal.description)
        section.set(.sendSIGKILL, "yes")
        section.set(.timeoutStopSec, ValueText.span(stopTimeout))
        section.setLimits(limits)
        section.set(.slice, slice.map(\.description))
        section.set(.delegate, delegatesCgroups ? "yes" : nil)
        return section
    }

    private func setStart(_ section: inout UnitFile.Section) {
        switch start {
        case .executed: section.set(.type, "exec")
        case .notified:
            section.set(.type, "notify")
            section.set(.notifyAccess, "all")
        case .completed:
            section.set(.type, "oneshot")
            section.set(.remainAfterExit, "yes")
        }
        if watchdog != nil, start != .notified { section.set(.notifyAccess, "all") }
        section.set(.exitType, waitsForAll ? "cgroup" : nil)
        guard let probe else { return }
        // Without a main process to look at, TimeoutStartSec= alone ends the attempts.
        let condition = waitsForAll ? ":" : "kill -0 $MAINPID"
        let loop = "while \(condition); do timeout 10 \"$@\" && exit; sleep 1; done > /dev/null 2>&1; exit 1"
        let words = ["-c", ByteString(unchecked: Array(loop.utf8)), "sh"] + probe.words
        // Never with `+`, which would run it as root, in an environment that the service's user may be able to change
        // (`EnvironmentFile=`, `PATH`): that user could then run anything as root.
        section.set(.execStartPost, ":/bin/sh " + words.map { Quoting.word($0) }.joined(separator: " "))
    }

    /// The signal as kill(1) takes it: real-time signals by number, since kill(1) has other names for them than
    /// systemd.
    private static func killName(_ signal: Signal) -> String {
        signal.description.hasPrefix("SIGRT") ? String(signal.rawValue) : String(signal.description.dropFirst(3))
    }

    private func setSurroundings(_ section: inout UnitFile.Section) throws(UnitError) {
        try section.set(.workingDirectory, workingDirectory, Check.pathLine)
        try section.set(.user, user, Check.account)
        try section.set(.group, group, Check.account)
        let groups = try supplementaryGroups.map { (group) throws(UnitError) in
            try Check.account(group, key: UnitKey.supplementaryGroups.name)
        }
        section.set(.supplementaryGroups, words: groups)
        try section.set(.umask, umask, Check.mode)
        // 524288 is the hard limit that systemd gives when none is set.
        try section.set(.limitNOFILE, openFiles) { (files, key) throws(UnitError) in
            "\(try Check.count(files, key: key)):\(max(files, 524_288))"
        }
        for file in environmentFiles {
            let isOptional = file.hasPrefix("-")
            let path = try Check.pathLine(isOptional ? String(file.dropFirst()) : file, key: "EnvironmentFile")
            section.set(.environmentFile, (isOptional ? "-" : "") + Quoting.escapingPattern(path))
        }
        section.set(.standardInput, readsSocket ? "socket" : nil)
        section.set(.standardOutput, try output.text(key: "StandardOutput"))
        section.set(.standardError, try errorOutput.text(key: "StandardError"))
        try section.set(.syslogIdentifier, syslogIdentifier, Quoting.line)
        // Of two lines UMask= the later wins: that of strict hardening must not replace the one that was asked for.
        try section.setHardening(hardening, user: user, setsUMask: umask == nil)
    }
}
