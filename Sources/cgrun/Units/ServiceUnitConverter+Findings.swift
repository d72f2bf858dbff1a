internal import CgroupSandbox
internal import LinuxSystem
internal import SandboxValues
internal import Services
internal import SystemdUnits

// What became of each key.

extension ServiceUnitConverter {
    /// What a key became: how close that is, in which words, and what differs.
    typealias Outcome = (grade: Grade, result: String, note: String)

    /// - Throws: for a limit that systemd does not have.
    mutating func report(_ statement: Statement, _ unit: Service) throws(UsageError) {
        let key = statement.path.joined(separator: ".")
        let outcome = try outcome(of: statement, key, unit)
        add(
            Finding(
                section, key, Self.text(statement.value), outcome.grade, outcome.result,
                outcome.grade == .exact ? "" : outcome.note))
    }

    private func outcome(of statement: Statement, _ key: String, _ unit: Service) throws(UsageError) -> Outcome {
        switch statement.path[0] {
        case "env":
            return throughEnv.contains(statement.path[1])
                ? (.approximate, "ExecStart= through env(1)", "the program gets its path for its name")
                : (.exact, "Environment=", "")
        case "requires": return requirement(statement)
        case "ready": return readiness(unit)
        case "reload": return (.exact, "ExecReload=", "")
        case "log": return log(statement)
        case "cpu-time":
            throw failure(
                key, "systemd has no limit on the CPU time of a service; expected none here (limit timeout, cpu)")
        case "property":
            throw failure(
                key, "this command does not know what it means in a unit; expected none here (make a drop-in)")
        case "cgroup-parent":
            throw failure(key, "the limits of that cgroup would not hold; expected none here (make a slice with them)")
        default: break
        }
        if let kind = LimitKind.named(statement.path[0]) {
            return (.exact, kind.directives(job.limits).map { $0.name + "=" }.joined(separator: ", "), "")
        }
        return plain(key, unit)
    }

    private func plain(_ key: String, _ unit: Service) -> Outcome {
        let rules = spec.restart
        let restarts = rules.policy != .no
        switch key {
        case "command": return (.exact, "ExecStart=\(unit.command.path)", "")
        case "dir": return (.exact, "WorkingDirectory=", "")
        case "env-file":
            return (.approximate, "EnvironmentFile=", "read at each start; systemd takes a backslash for an escape")
        case "instances": return (.exact, target.map(\.description) ?? "", "")
        case "restart": return (.exact, "Restart=\(unit.restart.rawValue)", "")
        case "backoff":
            let isConstant = rules.firstPause == rules.longestPause || !restarts
            return (isConstant ? .exact : .approximate, "RestartSec=", Self.constantPause)
        case "healthy-after": return (restarts ? .dropped : .exact, "", Self.constantPause)
        case "give-up":
            return (
                rules.giveUpAfter == nil || !restarts ? .exact : .approximate, "StartLimitBurst=",
                "every start counts, those by hand and after a success, too"
            )
        case "ready-timeout": return (.exact, unit.startTimeout == nil ? "" : "TimeoutStartSec=", "")
        case "watchdog":
            return (.approximate, "WatchdogSec=", "systemd ends it with SIGABRT, and not with the signal of a stop")
        case "slice": return (.exact, "Slice=", "")
        case "description": return (.exact, "Description=", "")
        case "stop.signal": return (.exact, "KillSignal=\(unit.stopSignal)", "")
        case "stop.after": return (.exact, job.grace > .zero ? "TimeoutStopSec=" : "KillSignal=SIGKILL", "")
        case "stop.mode": return (.exact, "KillMode=\(unit.killMode.rawValue)", "")
        case "timeout":
            let name = unit.start == .completed ? "TimeoutStartSec=" : "RuntimeMaxSec="
            return (.approximate, name, "the time in which the machine sleeps does not count")
        case "strays":
            let isSame = (job.strays == .terminate) == (unit.killMode == .controlGroup)
            return (
                isSame ? .exact : .approximate, "KillMode=\(unit.killMode.rawValue)", "they are treated as at a stop"
            )
        case "wait-all":
            guard job.waitsForAll != unit.waitsForAll else {
                return (.exact, unit.waitsForAll ? "ExitType=cgroup" : "", "")
            }
            return (.dropped, "", "others wait for the end of the command alone")
        case "fail-on-oom":
            return (
                job.failsOnOOM ? .approximate : .exact, "OOMPolicy=\(unit.oomPolicy.rawValue)",
                "it is stopped at once"
            )
        case "uid": return (.approximate, "User=", "systemd sets HOME, USER, LOGNAME and SHELL, too")
        case "gid": return (.exact, "Group=", "")
        case "cgroup-manager": return (.dropped, "", "systemd makes the cgroup")
        case "pid-file": return (.dropped, "", "systemctl show -P MainPID \(unit.name) tells the pid")
        // Nothing is dropped in silence, not even a key that is newer than this list.
        default: return (.dropped, "", "there is no conversion of it")
        }
    }

    private func requirement(_ statement: Statement) -> Outcome {
        var note = "it is restarted with that one, too"
        switch (statement.value, waits[statement.path.last ?? ""]) {
        case (.string("started"), .untilReady?):
            note += "; it waits until that one is ready, and is not started if that one never is"
        case (.string("started"), .untilEnd?), (.string("ready"), .untilEnd?):
            note += "; it waits for the end of that one, as another service does, and is not started if that one fails"
        default: break
        }
        guard case .string(let condition) = statement.value, condition == "completed" else {
            return (.approximate, "Requires=, After=", note)
        }
        return (.approximate, "Requires=, After=, with Type=oneshot there", note)
    }

    private func readiness(_ unit: Service) -> Outcome {
        if isAwaited { return (.dropped, "", "what others wait for is its end") }
        var often = "tried each second"
        // Nobody can tell whether the last process is gone: the probe is one, too.
        if unit.waitsForAll { often += ", until ready-timeout even if the service has ended" }
        switch spec.readiness {
        case .delay:
            let seconds = unit.settleTime.components.seconds
            return (
                spec.readiness == .delay(unit.settleTime) ? .exact : .approximate,
                seconds == 0 ? "" : "ExecStartPost= waits \(seconds) s",
                "whole seconds"
            )
        case .notify: return (.exact, "Type=notify", "")
        case .exec: return (.approximate, "ExecStartPost=", often)
        case .tcp: return (.approximate, "ExecStartPost= with bash", often)
        case .http: return (.approximate, "ExecStartPost= with curl, which has to be installed", often)
        case .log:
            guard unit.probe == nil else {
                let group = "; to look there, its user gets the group systemd-journal, and may read all of the journal"
                return (
                    .approximate, "ExecStartPost= with journalctl",
                    often + (unit.supplementaryGroups.isEmpty ? "" : group)
                )
            }
            return (.dropped, "", "systemd cannot wait for a line in a file: it counts as started at once")
        }
    }

    private func log(_ statement: Statement) -> Outcome {
        switch (statement.path.last, spec.log.path) {
        case _ where spec.log.isJournal: return (.exact, "StandardOutput=journal", "")
        case ("log", _), ("file", _): return (.exact, "StandardOutput=append:", "")
        case (_, nil): return (.dropped, "", "there is no log file; journald.conf bounds the journal")
        case ("max", _): return (.approximate, "logrotate: size \(spec.log.longest)", "looked at when logrotate runs")
        default: return (.exact, "logrotate: rotate \(spec.log.kept)", "")
        }
    }

    static func text(_ value: Statement.Value) -> String {
        switch value {
        case .string(let text), .moment(let text): text
        case .integer(let number): "\(number)"
        case .real(let number): "\(number)"
        case .boolean(let flag): "\(flag)"
        case .array(let values): values.map(text).joined(separator: " ")
        case .table: ""
        }
    }
}
