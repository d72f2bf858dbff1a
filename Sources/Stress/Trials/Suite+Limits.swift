internal import CgroupSandbox
internal import LinuxSystem
internal import SandboxValues

// The command meets a limit that was read back before it started.

extension Suite {
    /// With less than this, not even a small program starts.
    private static let leastMemory: UInt64 = 2 << 20

    func outOfMemory(_ side: StressSide) throws(StressStop) -> Finding {
        if let memoryFailure { throw .notTested(memoryFailure) }
        guard let used = rehearsal.memoryBytes else { throw .notTested("nobody counts memory here") }
        let limit = used / 2
        guard limit >= Self.leastMemory else { throw .notTested("it needs only \(ByteCount(used))") }
        var limits = Limits()
        limits.memoryMax = .value(.bytes(limit))
        let meeting = Meeting(limits: limits, option: "--mem", value: "\(limit)", text: "\(ByteCount(limit)) of memory")
        {
            $0.observer.oomKills > 0
        } told: { report in
            report.cause == .oomOwnLimit ? "\(report.cause.rawValue)" : report.oomInTree ? "an OOM kill" : nil
        }
        return try met(meeting, side)
    }

    func forkRefused(_ side: StressSide) throws(StressStop) -> Finding {
        if let pidsFailure { throw .notTested(pidsFailure) }
        guard let used = rehearsal.pids else { throw .notTested("nobody counts processes here") }
        guard used > 1 else { throw .notTested("it starts no process or thread") }
        var limits = Limits()
        limits.pidsMax = .value(Int(used) - 1)
        let meeting = Meeting(
            limits: limits, option: "--pids", value: "\(used - 1)", text: "\(used - 1) processes and threads"
        ) {
            ($0.observer.statistics.pidsRefusedForks ?? 0) > 0
        } told: { report in
            let refused = report.pids.refusedForks ?? 0
            return report.cause == .pidsLimit ? report.cause.rawValue : refused > 0 ? "refused forks: \(refused)," : nil
        }
        return try met(meeting, side)
    }

    /// A limit that the command is to meet.
    private struct Meeting {
        var limits: Limits
        var option: String
        var value: String
        var text: String
        /// Whether the bare command has met the limit, which is the observer's then.
        var isMet: (Scene) -> Bool
        /// How a report tells of the limit; `nil` where it does not.
        var told: (Report) -> String?
    }

    private func met(_ meeting: Meeting, _ side: StressSide) throws(StressStop) -> Finding {
        try scene(side, limits: side == .bare ? meeting.limits : nil) { scene throws(StressStop) in
            let file = "\(scene.directory)/report"
            var options = Scene.Options()
            options.cgrun = [meeting.option, meeting.value, "--report", file]
            options.mayFail = true
            let instance = try scene.start(options)
            if side == .bare {
                guard holds(within: Self.death, { meeting.isMet(scene) }) else {
                    throw .notTested("\(meeting.text) are enough")
                }
                let end = instance.end(within: Self.death)
                return Finding(
                    .failed, "\(end?.text ?? "goes on"); no report says why\(instance.lastLines)",
                    left: end == nil ? [] : scene.observer.left(within: Self.death))
            }
            // As above, one that is ready may meet the limit a moment later.
            _ = instance.end(within: Self.death)
            instance.send(.terminate)
            guard instance.end(within: patienceForEnd) != nil else {
                return .failed("still runs after \(patienceForEnd.seconds)s")
            }
            guard let report = plan.readReport(file) else { return .failed("there is no report") }
            guard let told = meeting.told(report) else { throw .notTested("\(meeting.text) are enough") }
            return judge(scene, "the report has \(told) at \(meeting.text)")
        }
    }
}
