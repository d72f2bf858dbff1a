internal import SandboxValues

// The names of the fields in JSON, which are the schema: they change only with `schema`.

extension Report {
    enum CodingKeys: String, CodingKey {
        case schema, argv, cwd, uid, host, containment, result, signal, cause, confidence, evidence, error, explanation,
            advice
        case limitsChanged = "limits_changed"
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
    private static let wallTimeout = NameKey(stringValue: "wall_timeout_seconds")
    private static let cpuTimeout = NameKey(stringValue: "cpu_timeout_seconds")
    private static let changed = NameKey(stringValue: "changed_at")

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: NameKey.self)
        for kind in LimitKind.all { try kind.encode(resources, to: &container) }
        try container.encode(wallTimeoutSeconds, forKey: Self.wallTimeout)
        try container.encode(cpuTimeoutSeconds, forKey: Self.cpuTimeout)
        try container.encode(changedAt, forKey: Self.changed)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: NameKey.self)
        for kind in LimitKind.all { kind.decode(container, into: &resources) }
        wallTimeoutSeconds = try container.decode(Double?.self, forKey: Self.wallTimeout)
        cpuTimeoutSeconds = try container.decode(Double?.self, forKey: Self.cpuTimeout)
        changedAt = try container.decodeIfPresent(String.self, forKey: Self.changed)
    }
}

extension Report.Memory {
    enum CodingKeys: String, CodingKey {
        case events
        case peakBytes = "peak_bytes"
        case swapPeakBytes = "swap_peak_bytes"
        case eventsLocal = "events_local"
        case atEnd = "at_end"
    }
}

extension Report.MemoryParts {
    enum CodingKeys: String, CodingKey {
        case anonymousBytes = "anonymous_bytes"
        case fileBytes = "file_bytes"
        case sharedBytes = "shared_bytes"
        case kernelBytes = "kernel_bytes"
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
        case signal, escalated, blocking
        case requestedBy = "requested_by"
        case graceSeconds = "grace_seconds"
        case cgroupKill = "cgroup_kill"
        case emptyAfterSeconds = "empty_after_seconds"
    }
}
