internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdBus

extension Report {
    /// What is known before a job starts.
    init(
        id: String, spec: JobSpec, limits: ResolvedLimits, hierarchy: CgroupLayout.Mode?
    ) {
        self.init(
            jobID: id, argv: spec.arguments.map(\.description),
            cwd: spec.workingDirectory?.description ?? ThisProcess.currentDirectory,
            uid: spec.credentials?.uid ?? ThisProcess.effectiveUserID,
            host: Machine.hostName, bootID: Machine.bootID,
            containment: Containment(
                manager: spec.manager.rawValue, managerReason: "not started", requested: "guarded", achieved: "guarded",
                controllers: [], hierarchy: hierarchy?.rawValue),
            startedAt: Timestamp.now.text,
            limits: LimitValues(
                resources: limits.values, wallTimeoutSeconds: spec.timeout?.seconds,
                cpuTimeoutSeconds: spec.cpuTimeout?.seconds))
        if cwd == nil { unavailable.append(Unavailable(field: "cwd", reason: "the launcher's directory was removed")) }
        unavailable.append(
            Unavailable(field: "escape_detected", reason: "processes that leave their cgroup are not watched"))
    }

    /// What is known of a directory before there is one.
    mutating func describe(_ site: borrowing CgroupSite, because reason: String) {
        containment.manager = ManagerChoice.cgroupfs.rawValue
        containment.managerReason = reason
        containment.cgroup = site.path
        for field in ["containment.unit", "containment.systemd_version"] {
            unavailable.append(Unavailable(field: field, reason: "no systemd unit with this manager"))
        }
        containment.layers =
            Self.firstLayers + [
                Layer(name: "sweep", detail: "the next cgrun beside it, or cgrun sweep, kills what both have left")
            ]
    }

    private static let firstLayers = [
        Layer(name: "launcher", detail: "ends the job with the command, at a timeout and when its parent is lost"),
        Layer(name: "guard", detail: "kills the job when the launcher or its parent is lost"),
    ]

    /// What is known of a scope before there is one.
    mutating func describe(_ plan: ScopePlan, because reason: String) {
        containment.manager = ManagerChoice.systemd.rawValue
        containment.managerReason = reason
        containment.unit = plan.name
        containment.layers =
            Self.firstLayers + [
                Layer(
                    name: "manager",
                    detail:
                        "systemd's \(plan.scope.rawValue) manager stops the scope when \(plan.companionName) is empty")
            ]
        if plan.scope == .user {
            containment.layers.append(
                Layer(name: "init", detail: "systemd as PID 1 ends all that a lost user manager leaves"))
        }
    }

    /// What the manager has made of it.
    mutating func describe(_ started: ServiceManager.Started) {
        containment.systemdVersion = started.version
        if started.version == nil {
            unavailable.append(Unavailable(field: "containment.systemd_version", reason: "systemd did not tell"))
        }
        for property in started.unknown {
            unavailable.append(
                Unavailable(
                    field: "containment.unit: \(property)",
                    reason: property == "PIDFDs"
                        ? "this systemd does not know it; PIDs was used" : "this systemd does not know it"))
        }
    }

    /// The report of a job that did not start.
    public init(notStarted spec: JobSpec, _ error: LaunchError) {
        self.init(
            id: "", spec: spec, limits: (try? spec.limits.resolved()) ?? .none, hierarchy: nil)
        containment.achieved = "none"
        endedAt = Timestamp.now.text
        result = .notStarted
        cause = error.cause
        self.error = error.message
        evidence = error.evidence
        launcherExitCode = error.exitCode
        for field in [
            "containment.cgroup", "containment.hierarchy", "wall_seconds", "exit_code", "signal", "memory", "pids",
            "cpu",
            "io", "pressure",
        ] {
            unavailable.append(Unavailable(field: field, reason: "the job did not start"))
        }
    }

    mutating func describe(_ stop: Stop?) {
        guard let stop else { return }
        termination.requestedBy = stop.reason.requestedBy
        termination.signal = stop.signal.map(SignalInfo.init)
        termination.graceSeconds = stop.grace?.seconds
        termination.escalated = stop.escalated
    }

    /// Fills in how the job ended and what it used.
    mutating func conclude(
        _ facts: Diagnosis.Facts, _ end: TreeEnd, _ cgroup: borrowing JobCgroup, _ detail: JobCgroup.Detail
    ) {
        var facts = facts
        facts.memoryLimit = limits.memory
        facts.treeIsLeft = !end.isGone
        if facts.statistics.oomKills > 0 { facts.limitedAncestor = cgroup.limitedAncestor }
        fill(facts.statistics)
        if detail == .everything { noteWhatIsMissing() }

        let diagnosis = Diagnosis(facts)
        result = diagnosis.result
        exitCode = diagnosis.exitCode
        signal = diagnosis.signal.map(SignalInfo.init)
        coreDumped = diagnosis.coreDumped
        cause = diagnosis.cause
        confidence = diagnosis.confidence
        evidence = diagnosis.evidence
        launcherExitCode = diagnosis.launcherExitCode
        oomInTree = diagnosis.oomInTree

        strays = end.strays
        straysKilled = !end.strays.isEmpty
        unkillable = end.unkillable
        termination.cgroupKill = end.wroteKill
        termination.emptyAfterSeconds = end.isGone ? end.emptyAfter.seconds : nil
        if let blindness = end.blindness {
            error = "cgrun cannot tell whether anything of it is left (\(blindness))"
        } else if !end.isGone, end.unkillable.isEmpty {
            error = "processes are left in its cgroup that cgrun cannot see"
        }
        if error != nil {
            unavailable.append(Unavailable(field: "unkillable", reason: "the job's cgroup could not be looked at"))
        }
    }

    private mutating func fill(_ statistics: JobStatistics) {
        func seconds(_ microseconds: UInt64?) -> Double? { microseconds.map { Double($0) / 1e6 } }
        memory = Memory(
            peakBytes: statistics.memoryPeakBytes, swapPeakBytes: statistics.swapPeakBytes,
            events: statistics.memoryEvents, eventsLocal: statistics.memoryEventsLocal)
        pids = PIDs(peak: statistics.pidsPeak, refusedForks: statistics.pidsRefusedForks)
        cpu = CPU(
            usageSeconds: seconds(statistics.cpuUsageMicroseconds),
            userSeconds: seconds(statistics.cpuUserMicroseconds),
            systemSeconds: seconds(statistics.cpuSystemMicroseconds),
            throttledSeconds: seconds(statistics.cpuThrottledMicroseconds))
        io = statistics.io.map {
            $0.map { DeviceIO(device: $0.device, readBytes: $0.readBytes, writeBytes: $0.writeBytes) }
        }
        func pressure(_ total: JobStatistics.Pressure?) -> Pressure? {
            total.map {
                Pressure(
                    someSeconds: Double($0.someMicroseconds) / 1e6, fullSeconds: seconds($0.fullMicroseconds))
            }
        }
        self.pressure = PressureSet(
            memory: pressure(statistics.memoryPressure), cpu: pressure(statistics.cpuPressure),
            io: pressure(statistics.ioPressure))
    }

    private mutating func noteWhatIsMissing() {
        let hybrid = containment.hierarchy == CgroupLayout.Mode.hybrid.rawValue
        func note(
            _ isMissing: Bool, _ field: String, needs controller: String?, since version: String? = nil,
            inV1: Bool = true
        ) {
            guard isMissing else { return }
            let reason =
                if hybrid, !inV1 {
                    "cgroup v1 does not tell it"
                } else if let controller, !containment.controllers.contains(controller) {
                    "the \(controller) controller is not enabled for this job"
                        + (controller == "memory" ? "; --mem max enables it without a limit" : "")
                        + (controller == "pids" ? "; --pids max enables it without a limit" : "")
                } else if let version {
                    "this kernel does not offer it (Linux \(version))"
                } else {
                    "this kernel does not offer it"
                }
            unavailable.append(Unavailable(field: field, reason: reason))
        }
        note(memory.peakBytes == nil, "memory.peak_bytes", needs: "memory", since: "5.19")
        note(memory.swapPeakBytes == nil, "memory.swap_peak_bytes", needs: "memory", since: "6.5", inV1: false)
        note(memory.events == nil, "memory.events", needs: "memory")
        note(memory.eventsLocal == nil, "memory.events_local", needs: "memory", since: "5.2")
        note(pids.peak == nil, "pids.peak", needs: "pids", since: "6.1")
        note(pids.refusedForks == nil, "pids.refused_forks", needs: "pids")
        note(cpu.usageSeconds == nil, "cpu.usage_seconds", needs: nil)
        note(cpu.throttledSeconds == nil, "cpu.throttled_seconds", needs: "cpu")
        note(io == nil, "io", needs: "io", inV1: false)
        note(pressure.memory == nil, "pressure", needs: nil, since: "4.20, CONFIG_PSI")
    }
}

extension Report.SignalInfo {
    init(_ signal: Signal) {
        self.init(number: signal.rawValue, name: signal.description)
    }
}

extension Report.LimitValues {
    /// `memory.max`.
    var memory: ByteCount? { (resources.memoryMax?.value?.bytes).map(ByteCount.init) }
}

extension UnitProperty {
    init(_ property: LimitKind.BusProperty) {
        switch property.value {
        case .number(let number): self.init(property.name, .uint64(number))
        case .bits(let numbers):
            var bytes = [UInt8](repeating: 0, count: (numbers.max() ?? 0) / 8 + 1)
            for number in numbers { bytes[number / 8] |= 1 << (number % 8) }
            self.init(property.name, .bytes(bytes))
        case .devices(let devices):
            self.init(property.name, .devices(devices.map { Value.Device(path: $0, number: $1) }))
        }
    }
}
