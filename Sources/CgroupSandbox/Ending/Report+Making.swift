internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import SystemdBus

extension Report {
    /// The report of a job that has ended.
    init(_ facts: JobFacts, _ end: JobEnd) {
        self.init(facts)
        endedAt = Timestamp.now.text
        wallSeconds = end.wallTime?.seconds
        containment.controllers = end.controllers
        fill(end.statistics)
        if end.detail == .everything { noteWhatIsMissing(facts) }
        tell(Diagnosis(end, memoryLimit: limits.memory, failsOnOOM: facts.failsOnOOM))
        tell(end)
        if end.wallTime == nil { noteWhatWasLost() }
        if facts.home.manager == .systemd, facts.home.systemdVersion == nil {
            let reason =
                end.wallTime == nil ? "the launcher was lost, and with it what systemd told" : "systemd did not tell"
            note("containment.systemd_version", reason)
        }
        explain(facts.wording)
    }

    /// Takes note of cgroups that could not be removed.
    mutating func note(leftover: SystemError?, _ wording: Wording) {
        error = "its cgroup could not be removed" + (leftover.map { " (\($0))" } ?? "")
        explain(wording)
    }

    /// The report of a job that did not start.
    public init(notStarted spec: LaunchSpec, _ error: LaunchError) {
        let limits = (try? spec.job.limits.resolved()) ?? .none
        self.init(JobFacts("", spec.job, limits, nil, .undecided(spec.manager), .options))
        containment.achieved = "none"
        endedAt = Timestamp.now.text
        result = .notStarted
        cause = error.cause
        self.error = error.message
        explanation = error.reason
        advice = error.remedy
        evidence = error.evidence
        launcherExitCode = error.exitCode
        let missing = [
            "containment.cgroup", "containment.hierarchy", "wall_seconds", "exit_code", "signal", "memory", "pids",
            "cpu", "io", "pressure",
        ]
        unavailable += missing.map { Unavailable(field: $0, reason: "the job did not start") }
    }

    /// What is known before the end.
    private init(_ facts: JobFacts) {
        let home = facts.home
        self.init(
            jobID: facts.id, argv: facts.arguments, cwd: facts.workingDirectory, uid: facts.uid, host: facts.hostName,
            bootID: facts.bootID,
            containment: Containment(
                manager: home.manager.rawValue, managerReason: home.reason, requested: "guarded", achieved: "guarded",
                layers: home.layers, unit: home.unit, systemdVersion: home.systemdVersion, cgroup: facts.cgroup,
                controllers: [], hierarchy: facts.hierarchy?.rawValue, joinedBeforeExec: facts.joinedLate,
                guardsReplaced: facts.guardsReplaced),
            startedAt: facts.startedAt, limits: facts.limits)
        if cwd == nil { note("cwd", "the launcher's directory was removed") }
        if facts.parentIsHidden {
            note("containment.layers: parent", "it is outside this pid namespace, and its loss is not noticed")
        }
        note("escape_detected", "processes that leave their cgroup are not watched")
        switch home.manager {
        case .cgroupfs:
            for field in ["containment.unit", "containment.systemd_version"] {
                note(field, "no systemd unit with this manager")
            }
        case .systemd:
            for property in home.unknownProperties {
                let instead = property == "PIDFDs" ? "; PIDs was used" : ""
                note("containment.unit: \(property)", "this systemd does not know it" + instead)
            }
        case .auto: break
        }
    }

    private mutating func note(_ field: String, _ reason: String) {
        unavailable.append(Unavailable(field: field, reason: reason))
    }

    private mutating func tell(_ diagnosis: Diagnosis) {
        result = diagnosis.result
        exitCode = diagnosis.exitCode
        signal = diagnosis.signal.map(SignalInfo.init)
        coreDumped = diagnosis.coreDumped
        cause = diagnosis.cause
        confidence = diagnosis.confidence
        evidence = diagnosis.evidence
        launcherExitCode = diagnosis.launcherExitCode
        oomInTree = diagnosis.oomInTree
    }

    private mutating func tell(_ end: JobEnd) {
        termination = Termination(
            requestedBy: end.stop?.reason.rawValue, signal: end.stop?.signal.map(SignalInfo.init),
            graceSeconds: end.stop?.grace?.seconds, escalated: end.stop?.escalated == true,
            blocking: end.blocking, cgroupKill: end.wroteKill, emptyAfterSeconds: end.emptyAfter?.seconds)
        strays = end.strays
        straysKilled = !end.strays.isEmpty && end.wroteKill
        unkillable = end.unkillable
        limitsChanged = end.changedLimits.map { LimitChange(file: $0.file, set: $0.set, found: $0.found) }
        if let blindness = end.blindness {
            error = "cgrun cannot tell whether anything of it is left (\(blindness))"
        } else if !end.treeIsGone, end.unkillable.isEmpty {
            error = "processes are left in its cgroup that cgrun cannot see"
        }
        if error != nil { note("unkillable", "the job's cgroup could not be looked at") }
    }

    private mutating func noteWhatWasLost() {
        launcherExitCode = nil
        for (field, isMissing) in [
            ("wall_seconds", wallSeconds == nil), ("exit_code", exitCode == nil), ("signal", signal == nil),
            ("launcher_exit_code", true),
        ] where isMissing {
            note(field, "the launcher was lost, and with it how the command ended")
        }
    }

    private mutating func fill(_ statistics: JobStatistics) {
        func seconds(_ microseconds: UInt64?) -> Double? { microseconds.map { Double($0) / 1e6 } }
        memory = Memory(
            peakBytes: statistics.memoryPeakBytes, swapPeakBytes: statistics.swapPeakBytes,
            events: statistics.memoryEvents, eventsLocal: statistics.memoryEventsLocal,
            atEnd: statistics.memoryParts.map {
                MemoryParts(
                    anonymousBytes: $0.anonymousBytes, fileBytes: $0.fileBytes, sharedBytes: $0.sharedBytes,
                    kernelBytes: $0.kernelBytes)
            })
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
                Pressure(someSeconds: Double($0.someMicroseconds) / 1e6, fullSeconds: seconds($0.fullMicroseconds))
            }
        }
        self.pressure = PressureSet(
            memory: pressure(statistics.memoryPressure), cpu: pressure(statistics.cpuPressure),
            io: pressure(statistics.ioPressure))
    }

    private mutating func noteWhatIsMissing(_ facts: JobFacts) {
        let hybrid = facts.hierarchy == .hybrid
        let enabling = [
            "memory": facts.wording.choose("a memoryMax of max", options: "--mem max"),
            "pids": facts.wording.choose("a pidsMax of max", options: "--pids max"),
        ]
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
                        + (enabling[controller].map { "; \($0) enables it without a limit" } ?? "")
                } else {
                    "this kernel does not offer it" + (version.map { " (Linux \($0))" } ?? "")
                }
            unavailable.append(Unavailable(field: field, reason: reason))
        }
        note(memory.peakBytes == nil, "memory.peak_bytes", needs: "memory", since: "5.19")
        note(memory.swapPeakBytes == nil, "memory.swap_peak_bytes", needs: "memory", since: "6.5", inV1: false)
        note(memory.events == nil, "memory.events", needs: "memory")
        note(memory.eventsLocal == nil, "memory.events_local", needs: "memory", since: "5.2")
        note(memory.atEnd == nil, "memory.at_end", needs: "memory")
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
    /// The memory limit, if there is one (`memory.max`).
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
