internal import SandboxValues

// The names of the fields in JSON, which are the schema: they change only with `schema`.

extension Report {
    enum CodingKeys: String, CodingKey {
        case schema, argv, cwd, uid, host, containment, result, signal, cause, confidence, evidence, error
        case limits, memory, pids, cpu, io, pressure, termination, strays, unkillable, unavailable
        case jobID = "job_id"
        case bootID = "boot_id"
        case startedAt = "started_at"
        case endedAt = "ended_at"
        case wallSeconds = "wall_seconds"
        case exitCode = "exit_code"
        case coreDumped = "core_dumped"
        case launcherExitCode = "launcher_exit_code"
        case oomInTree = "oom_in_tree"
        case straysKilled = "strays_killed"
        case escapeDetected = "escape_detected"
    }
}

extension Report.Containment {
    enum CodingKeys: String, CodingKey {
        case manager, requested, achieved, layers, unit, cgroup, controllers, hierarchy
        case systemdVersion = "systemd_version"
        case managerReason = "manager_reason"
        case joinedBeforeExec = "joined_before_exec"
        case guardsReplaced = "guards_replaced"
    }
}

/// There is a key for each kind of limit, one for each time limit, and one for the time of the last change.
extension Report.LimitValues: Codable {
    fileprivate struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }

        static let wallTimeout = Key(stringValue: "wall_timeout_seconds")
        static let changedAt = Key(stringValue: "changed_at")
        static let device = Key(stringValue: "device")
        static let cpuTimeout = Key(stringValue: "cpu_timeout_seconds")
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        for kind in LimitKind.all {
            let key = Key(stringValue: kind.reportKey)
            switch kind.figure(resources) {
            case .integer(let value): try container.encode(value, forKey: key)
            case .number(let value): try container.encode(value, forKey: key)
            case .text(let value): try container.encode(value, forKey: key)
            case .devices(let value): try container.encode(value, forKey: key)
            case nil: try container.encodeNil(forKey: key)
            }
        }
        try container.encode(wallTimeoutSeconds, forKey: .wallTimeout)
        try container.encode(cpuTimeoutSeconds, forKey: .cpuTimeout)
        try container.encode(changedAt, forKey: .changedAt)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        for kind in LimitKind.all {
            let key = Key(stringValue: kind.reportKey)
            // A report of an older cgrun lacks kinds of limits that came later.
            guard container.contains(key), try !container.decodeNil(forKey: key) else { continue }
            let figure: LimitKind.Figure
            if let value = try? container.decode(UInt64.self, forKey: key) {
                figure = .integer(value)
            } else if let value = try? container.decode(Double.self, forKey: key) {
                figure = .number(value)
            } else if let value = try? container.decode([LimitKind.Figure.Device].self, forKey: key) {
                figure = .devices(value)
            } else {
                figure = .text(try container.decode(String.self, forKey: key))
            }
            kind.restore(figure, &resources)
        }
        wallTimeoutSeconds = try container.decode(Double?.self, forKey: .wallTimeout)
        cpuTimeoutSeconds = try container.decode(Double?.self, forKey: .cpuTimeout)
        changedAt = try container.decodeIfPresent(String.self, forKey: .changedAt)
    }
}

/// A rate without a limit is encoded as `null`.
extension LimitKind.Figure.Device: Codable {
    private typealias Key = Report.LimitValues.Key

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(device, forKey: .device)
        for rate in IOLimit.Rate.allCases {
            try container.encode(rates[rate], forKey: Key(stringValue: rate.reportKey))
        }
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        self.init(device: try container.decode(String.self, forKey: .device), rates: [:])
        for rate in IOLimit.Rate.allCases {
            rates[rate] = try container.decodeIfPresent(UInt64.self, forKey: Key(stringValue: rate.reportKey))
        }
    }
}

extension Report.Memory {
    enum CodingKeys: String, CodingKey {
        case events
        case peakBytes = "peak_bytes"
        case swapPeakBytes = "swap_peak_bytes"
        case eventsLocal = "events_local"
    }
}

extension Report.PIDs {
    enum CodingKeys: String, CodingKey {
        case peak
        case refusedForks = "refused_forks"
    }
}

extension Report.CPU {
    enum CodingKeys: String, CodingKey {
        case usageSeconds = "usage_seconds"
        case userSeconds = "user_seconds"
        case systemSeconds = "system_seconds"
        case throttledSeconds = "throttled_seconds"
    }
}

extension Report.DeviceIO {
    enum CodingKeys: String, CodingKey {
        case device
        case readBytes = "read_bytes"
        case writeBytes = "write_bytes"
    }
}

extension Report.Pressure {
    enum CodingKeys: String, CodingKey {
        case someSeconds = "some_seconds"
        case fullSeconds = "full_seconds"
    }
}

extension Report.Termination {
    enum CodingKeys: String, CodingKey {
        case signal, escalated
        case requestedBy = "requested_by"
        case graceSeconds = "grace_seconds"
        case cgroupKill = "cgroup_kill"
        case emptyAfterSeconds = "empty_after_seconds"
    }
}
