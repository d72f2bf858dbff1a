extension LegacyGroup {
    func addStatistics(to statistics: inout JobStatistics, _ detail: JobCgroup.Detail) {
        switch controller {
        case .memory:
            statistics.memoryBytes = directory.number("memory.usage_in_bytes")
            statistics.memoryPeakBytes = directory.number("memory.max_usage_in_bytes")
            if detail != .death {
                let kernel = directory.number("memory.kmem.usage_in_bytes")
                statistics.memoryParts = directory.counts("memory.stat").map {
                    JobStatistics.MemoryParts(legacy: $0, kernelBytes: kernel)
                }
            }
            // v1 counts the kills in this very group, not those below it. (`failcnt` stays at 0 on recent kernels.)
            let kills = directory.counts("memory.oom_control")?["oom_kill"] ?? 0
            statistics.memoryEvents = EventCounts([("oom_kill", kills)])
            statistics.memoryEventsLocal = statistics.memoryEvents
        case .pids:
            statistics.pids = directory.number("pids.current")
            statistics.pidsPeak = directory.number("pids.peak")
            statistics.pidsRefusedForks = directory.counts("pids.events")?["max"]
        case .cpu:
            statistics.cpuThrottledMicroseconds = directory.counts("cpu.stat")?["throttled_time"].map { $0 / 1_000 }
        case .cpuset, .blkio: break
        }
    }
}
