extension LegacyGroup {
    func addStatistics(to statistics: inout JobStatistics) {
        func number(_ file: String) -> UInt64? { (try? directory.read(file)).flatMap { UInt64($0) } }
        func counts(_ file: String) -> EventCounts {
            (try? directory.read(file)).map(EventCounts.init(parsing:)) ?? EventCounts()
        }
        switch controller {
        case .memory:
            statistics.memoryBytes = number("memory.usage_in_bytes")
            statistics.memoryPeakBytes = number("memory.max_usage_in_bytes")
            // v1 counts the kills in this very group, not those below it. (`failcnt` stays at 0 on recent kernels.)
            let kills = counts("memory.oom_control")["oom_kill"] ?? 0
            statistics.memoryEvents = EventCounts([("oom_kill", kills)])
            statistics.memoryEventsLocal = statistics.memoryEvents
        case .pids:
            statistics.pids = number("pids.current")
            statistics.pidsPeak = number("pids.peak")
            statistics.pidsRefusedForks = counts("pids.events")["max"]
        case .cpu:
            statistics.cpuThrottledMicroseconds = counts("cpu.stat")["throttled_time"].map { $0 / 1_000 }
        case .cpuset, .blkio: break
        }
    }
}
