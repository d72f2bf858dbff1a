internal import LinuxSystem
internal import SystemPackage

extension JobCgroup {
    package enum Detail: Sendable {
        /// Only what tells why a job died.
        case death
        case everything
        /// Everything, and what is in use at the moment.
        case current
    }

    /// Reads the cgroup's files. The numbers are final only once the tree is empty, and cannot be read once the cgroup
    /// is removed.
    package func statistics(_ detail: Detail = .everything) -> JobStatistics {
        var result = JobStatistics()
        // Files of a missing controller are not there; to try to open one costs as much as to read another.
        let hasMemory = modernControllers.contains("memory")
        let hasPIDs = modernControllers.contains("pids")
        if hasMemory {
            // What shows why the job died is read first: a manager that stops the job's unit may remove the cgroup
            // meanwhile.
            result.memoryEvents = directory.counts("memory.events")
            result.memoryEventsLocal = directory.counts("memory.events.local")
            if parentSharesLimits, let above = parent.counts("memory.events.local") {
                // The parent has the same limit. Next to nothing is in it besides the job, and yet the parent may reach
                // the limit first.
                result.memoryEvents?.add(above)
                result.memoryEventsLocal?.add(above)
            }
            result.memoryPeakBytes = directory.number("memory.peak")
        }
        if hasPIDs {
            // The former counts limits of nested jobs, too.
            result.pidsRefusedForks = (directory.counts("pids.events.local") ?? directory.counts("pids.events"))?["max"]
            result.pidsPeak = directory.number("pids.peak")
        }
        if detail == .current {
            if hasMemory { result.memoryBytes = directory.number("memory.current") }
            if hasPIDs { result.pids = directory.number("pids.current") }
        }
        if detail != .death {
            let cpu = directory.counts("cpu.stat")
            result.cpuUsageMicroseconds = cpu?["usage_usec"]
            result.cpuUserMicroseconds = cpu?["user_usec"]
            result.cpuSystemMicroseconds = cpu?["system_usec"]
            result.cpuThrottledMicroseconds = cpu?["throttled_usec"]
            if parentSharesLimits, modernControllers.contains("cpu"),
                let above = parent.counts("cpu.stat")?["throttled_usec"]
            {
                // The parent has the same quota, but its periods begin at other moments: sometimes the quota of the
                // parent is used up first, sometimes that of the cgroup.
                result.cpuThrottledMicroseconds? += above
            }
            if hasMemory {
                result.swapPeakBytes = directory.number("memory.swap.peak")
                result.memoryParts = directory.counts("memory.stat").map(JobStatistics.MemoryParts.init)
            }
            if modernControllers.contains("io") {
                result.io = (try? directory.read("io.stat")).map(JobStatistics.deviceIO)
            }
            func pressure(_ file: String) -> JobStatistics.Pressure? {
                (try? directory.read(file)).flatMap(JobStatistics.pressure)
            }
            result.memoryPressure = pressure("memory.pressure")
            result.cpuPressure = pressure("cpu.pressure")
            result.ioPressure = pressure("io.pressure")
        }
        for group in legacy { group.addStatistics(to: &result, detail) }
        return result
    }

    /// CPU time that the whole tree has used so far; `nil` where it cannot be read.
    package var cpuTime: Duration? {
        directory.counts("cpu.stat")?["usage_usec"].map { .microseconds(Int64(clamping: $0)) }
    }
}

extension CgroupDirectory {
    /// The number in a file; `nil` where there is none.
    func number(_ file: String) -> UInt64? { (try? read(file)).flatMap { UInt64($0) } }

    /// The lines of a file; `nil` where there is none.
    func counts(_ file: String) -> EventCounts? { (try? read(file)).map(EventCounts.init(parsing:)) }
}
