extension LimitKind {
    /// All kinds, in the order in which help shows them.
    package static let all = [memoryMax, memoryHigh, swapMax, pidsMax, cpuMax, cpuWeight, cpuset, ioMax]

    /// All kinds in the order of systemd.resource-control(5), in which units list limits. Control files are written in
    /// this order, too: `memory.high` before `memory.max`, since a job that uses too much is only slowed down for
    /// `memory.high`, but killed for `memory.max`.
    package static let inOrderOfWriting = [cpuWeight, cpuMax, cpuset, memoryHigh, memoryMax, swapMax, pidsMax, ioMax]

    package static let memoryMax = LimitKind(
        option: "mem", noun: "memory limit", valueName: "size",
        help:
            "memory.max for the whole tree: bytes, 512M, 1.5G, 50% of RAM, or max. Swap is pinned to 0 unless --swap is given.",
        controller: .memory, file: "memory.max", directiveNames: ["MemoryMax"], reportKey: "memory_max_bytes",
        field: LimitField(\.memoryMax) { (text) throws(LimitSyntaxError) in try Ceiling(parsing: text) }, sample: "1G",
        legacyValues: { limits in
            limits.memoryMax?.value.map { [LegacyValue("memory.limit_in_bytes", $0.kernelText)] } ?? []
        })

    package static let memoryHigh = LimitKind(
        option: "mem-high", noun: "limit on memory before slowdown", valueName: "size",
        help: "memory.high: above it the kernel slows the job down, but does not kill.",
        controller: .memory, file: "memory.high", directiveNames: ["MemoryHigh"], reportKey: "memory_high_bytes",
        field: LimitField(\.memoryHigh) { (text) throws(LimitSyntaxError) in try Ceiling(parsing: text) }, sample: "1G",
        legacyValues: { (limits) throws(LegacyRefusal) in
            guard limits.memoryHigh?.value == nil else {
                throw LegacyRefusal(reason: "its soft limit does not slow a job down")
            }
            return []
        })

    package static let swapMax = LimitKind(
        option: "swap", noun: "swap limit", valueName: "size",
        help: "memory.swap.max: swap that the job may use besides --mem.",
        controller: .memory, file: "memory.swap.max", directiveNames: ["MemorySwapMax"], reportKey: "swap_max_bytes",
        field: LimitField(\.effectiveSwapMax) { (text) throws(LimitSyntaxError) in
            try Ceiling(parsing: text, zeroAllowed: true)
        }, sample: "1G",
        legacyValues: { (limits) throws(LegacyRefusal) in
            guard let swap = limits.swapMax?.value?.bytes else { return [] }
            guard let memory = limits.memoryMax?.value?.bytes else {
                throw LegacyRefusal(reason: "it limits memory and swap together; limit memory, too")
            }
            let (sum, isTooLarge) = memory.addingReportingOverflow(swap)
            return [LegacyValue("memory.memsw.limit_in_bytes", String(isTooLarge ? UInt64(Int64.max) : sum))]
        })

    package static let pidsMax = LimitKind(
        option: "pids", noun: "process limit", valueName: "n", help: "pids.max: processes and threads at a time.",
        controller: .pids, file: "pids.max", directiveNames: ["TasksMax"], reportKey: "pids_max",
        field: LimitField(\.pidsMax, Ceiling.init(parsingCount:)), sample: "1000",
        legacyValues: { limits in limits.pidsMax.map { [LegacyValue("pids.max", $0.kernelText)] } ?? [] })

    package static let cpuMax = LimitKind(
        option: "cpu", noun: "CPU limit", valueName: "cores", help: "cpu.max in processors, such as 1.5.",
        controller: .cpu, file: "cpu.max", directiveNames: ["CPUQuota"], busName: "CPUQuotaPerSecUSec",
        reportKey: "cpu_cores", field: LimitField(\.cpuMax, Ceiling.init(parsingCores:)), sample: "1",
        legacyValues: { limits in
            guard let bandwidth = limits.cpuMax?.value else { return [] }
            return [
                LegacyValue("cpu.cfs_period_us", String(CPUBandwidth.periodMicroseconds)),
                LegacyValue("cpu.cfs_quota_us", String(bandwidth.quotaMicroseconds)),
            ]
        })

    package static let cpuWeight = LimitKind(
        option: "cpu-weight", noun: "CPU weight", valueName: "n",
        help: "cpu.weight: the job's share among its siblings, 1 to 10000; 100 is the default of all.",
        controller: .cpu, file: "cpu.weight", directiveNames: ["CPUWeight"], reportKey: "cpu_weight",
        field: LimitField(\.cpuWeight, CPUWeight.init(parsing:)), sample: "100",
        legacyValues: { limits in
            // 100 in v2 is 1024 in v1.
            limits.cpuWeight.map { [LegacyValue("cpu.shares", String(max(2, $0.value * 1024 / 100)))] } ?? []
        })

    package static let cpuset = LimitKind(
        option: "cpuset", noun: "CPU set", valueName: "list",
        help: "cpuset.cpus: the processors that the job may use, such as 0-3,8.",
        controller: .cpuset, file: "cpuset.cpus", directiveNames: ["AllowedCPUs"], reportKey: "cpuset",
        field: LimitField(\.cpuset, CPUSet.init(parsing:)),
        legacyValues: { limits in
            guard let cpuset = limits.cpuset else { return [] }
            // A v1 cpuset takes no process before it has memory nodes.
            return [
                LegacyValue("cpuset.mems", copyOf: "cpuset.effective_mems"),
                LegacyValue("cpuset.cpus", cpuset.kernelText),
            ]
        })

    package static let ioMax = LimitKind(
        option: "io-max", noun: "I/O limit", valueName: "device:key=rate",
        help:
            "io.max of a block device, by number or by a path on it: rbps, wbps (bytes a second), riops, wiops (operations a second), such as /srv:rbps=10M,wiops=100. May be given more than once.",
        controller: .io, file: "io.max", readBack: .lineOfDevice,
        directiveNames: IOLimit.Rate.allCases.map(\.names.directive), reportKey: "io_max",
        field: LimitField(\.givenIOMax) { (text) throws(LimitSyntaxError) in [try IOLimit(parsing: text)] },
        legacyValues: { limits in
            limits.ioMax.flatMap { limit in
                limit.sortedRates.map { rate, value in
                    LegacyValue(rate.names.legacyFile, "\(limit.device) \(value.value ?? 0)")
                }
            }
        })
}
