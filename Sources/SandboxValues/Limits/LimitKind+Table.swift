extension LimitKind {
    /// All kinds, in the order in which help shows them.
    package static let all = [memoryMax, memoryHigh, swapMax, pidsMax, cpuMax, cpuWeight, cpuset, ioMax]

    /// All kinds in the order of systemd.resource-control(5), in which units list limits. Control files are written in
    /// this order, too: `memory.high` before `memory.max`, since a job that uses too much is only slowed down for
    /// `memory.high`, but killed for `memory.max`.
    package static let inOrderOfWriting = [cpuWeight, cpuMax, cpuset, memoryHigh, memoryMax, swapMax, pidsMax, ioMax]

    package static let memoryMax = memory(
        "mem", "memory limit", "memory.max", "MemoryMax", "memory_max_bytes",
        help:
            "memory.max for the whole tree: bytes, 512M, 1.5G, 50% of RAM, or max. Swap is pinned to 0 unless --swap is given.",
        get: { $0.memoryMax }, set: { $0.memoryMax = $1 },
        legacy: { (limits) throws(LegacyRefusal) in
            (limits.memoryMax?.value?.bytes).map { [LegacyValue("memory.limit_in_bytes", String($0))] } ?? []
        },
        setSample: { limits, _ in limits.memoryMax = .value(.bytes(1 << 30)) })

    package static let memoryHigh = memory(
        "mem-high", "limit on memory before slowdown", "memory.high", "MemoryHigh", "memory_high_bytes",
        help: "memory.high: above it the kernel slows the job down, but does not kill.",
        get: { $0.memoryHigh }, set: { $0.memoryHigh = $1 },
        legacy: { (limits) throws(LegacyRefusal) in
            guard limits.memoryHigh?.value == nil else {
                throw LegacyRefusal(reason: "its soft limit does not slow a job down")
            }
            return []
        },
        setSample: { limits, _ in limits.memoryHigh = .value(.bytes(1 << 30)) })

    package static let swapMax = memory(
        "swap", "swap limit", "memory.swap.max", "MemorySwapMax", "swap_max_bytes",
        help: "memory.swap.max: swap that the job may use besides --mem.", zeroAllowed: true,
        get: { $0.effectiveSwapMax }, set: { $0.swapMax = $1 },
        legacy: { (limits) throws(LegacyRefusal) in
            guard let memory = limits.memoryMax?.value?.bytes else {
                guard limits.swapMax?.value == nil else {
                    throw LegacyRefusal(reason: "it limits memory and swap together; limit memory, too")
                }
                return []
            }
            guard let swap = limits.swapMax?.value?.bytes else { return [] }
            let both = memory.addingReportingOverflow(swap)
            let sum = both.overflow ? UInt64(Int64.max) : both.partialValue
            return [LegacyValue("memory.memsw.limit_in_bytes", String(sum))]
        },
        setSample: { limits, _ in
            (limits.memoryMax, limits.swapMax) = (.value(.bytes(1 << 30)), .value(.bytes(1 << 30)))
        })

    package static let pidsMax = LimitKind(
        option: "pids", noun: "process limit", valueName: "n", help: "pids.max: processes and threads at a time.",
        controller: .pids,
        file: "pids.max",
        parse: { (text, limits) throws(LimitSyntaxError) in limits.pidsMax = try Ceiling(parsingCount: text) },
        kernelValues: { limits in limits.pidsMax.map { [$0.kernelText] } ?? [] },
        legacyValues: { (limits) throws(LegacyRefusal) in
            limits.pidsMax.map { [LegacyValue("pids.max", $0.kernelText)] } ?? []
        },
        busProperties: { limits in
            number("TasksMax", limits.pidsMax?.value.map { UInt64($0) })
        },
        directives: { limits in directive("TasksMax", limits.pidsMax?.unitText) }, directiveNames: ["TasksMax"],
        reportKey: "pids_max", figure: { limits in limits.pidsMax?.value.map { .integer(UInt64($0)) } },
        restore: { figure, limits in
            if case .integer(let count) = figure { limits.pidsMax = .value(Int(clamping: count)) }
        },
        setSample: { limits, _ in limits.pidsMax = .value(1_000) })

    package static let cpuMax = LimitKind(
        option: "cpu", noun: "CPU limit", valueName: "cores", help: "cpu.max in processors, such as 1.5.",
        controller: .cpu,
        file: "cpu.max",
        parse: { (text, limits) throws(LimitSyntaxError) in limits.cpuMax = try Ceiling(parsingCores: text) },
        kernelValues: { limits in limits.cpuMax.map { [$0.kernelText] } ?? [] },
        legacyValues: { (limits) throws(LegacyRefusal) in
            guard let bandwidth = limits.cpuMax?.value else { return [] }
            return [
                LegacyValue("cpu.cfs_period_us", String(CPUBandwidth.periodMicroseconds)),
                LegacyValue("cpu.cfs_quota_us", String(bandwidth.quotaMicroseconds)),
            ]
        },
        busProperties: { limits in
            number("CPUQuotaPerSecUSec", limits.cpuMax?.value.map { UInt64($0.cores * 1e6) })
        },
        directives: { limits in directive("CPUQuota", limits.cpuMax?.unitText) }, directiveNames: ["CPUQuota"],
        reportKey: "cpu_cores", figure: { limits in limits.cpuMax?.value.map { .number($0.cores) } },
        restore: { figure, limits in
            let period = Double(CPUBandwidth.periodMicroseconds)
            if let cores = figure.number, let quota = UInt64(exactly: (cores * period).rounded()) {
                limits.cpuMax = .value(CPUBandwidth(quotaMicroseconds: quota))
            }
        },
        setSample: { limits, _ in
            limits.cpuMax = .value(CPUBandwidth(quotaMicroseconds: CPUBandwidth.periodMicroseconds))
        })

    package static let cpuWeight = LimitKind(
        option: "cpu-weight", noun: "CPU weight", valueName: "n",
        help: "cpu.weight: the job's share among its siblings, 1 to 10000; 100 is the default of all.",
        controller: .cpu, file: "cpu.weight",
        parse: { (text, limits) throws(LimitSyntaxError) in limits.cpuWeight = try CPUWeight(parsing: text) },
        kernelValues: { limits in limits.cpuWeight.map { [String($0.value)] } ?? [] },
        legacyValues: { (limits) throws(LegacyRefusal) in
            // 100 in v2 is 1024 in v1.
            limits.cpuWeight.map { [LegacyValue("cpu.shares", String(max(2, $0.value * 1024 / 100)))] } ?? []
        },
        busProperties: { limits in number("CPUWeight", limits.cpuWeight.map { UInt64($0.value) }) },
        directives: { limits in directive("CPUWeight", limits.cpuWeight.map { String($0.value) }) },
        directiveNames: ["CPUWeight"], reportKey: "cpu_weight",
        figure: { limits in limits.cpuWeight.map { .integer(UInt64($0.value)) } },
        restore: { figure, limits in
            if case .integer(let weight) = figure { limits.cpuWeight = try? CPUWeight(Int(clamping: weight)) }
        },
        setSample: { limits, _ in limits.cpuWeight = try? CPUWeight(100) })

    package static let cpuset = LimitKind(
        option: "cpuset", noun: "CPU set", valueName: "list",
        help: "cpuset.cpus: the processors that the job may use, such as 0-3,8.",
        controller: .cpuset, file: "cpuset.cpus",
        parse: { (text, limits) throws(LimitSyntaxError) in limits.cpuset = try CPUSet(parsing: text) },
        kernelValues: { limits in limits.cpuset.map { [$0.kernelText] } ?? [] },
        legacyValues: { (limits) throws(LegacyRefusal) in
            guard let cpuset = limits.cpuset else { return [] }
            // A v1 cpuset takes no process before it has memory nodes.
            return [
                LegacyValue("cpuset.mems", copyOf: "cpuset.effective_mems"),
                LegacyValue("cpuset.cpus", cpuset.kernelText),
            ]
        },
        busProperties: { limits in
            limits.cpuset.map { [BusProperty(name: "AllowedCPUs", value: .bits($0.processors))] } ?? []
        },
        directives: { limits in
            directive("AllowedCPUs", limits.cpuset?.kernelText.split(separator: ",").joined(separator: " "))
        },
        directiveNames: ["AllowedCPUs"], reportKey: "cpuset",
        figure: { limits in limits.cpuset.map { .text($0.kernelText) } },
        restore: { figure, limits in
            if case .text(let list) = figure { limits.cpuset = try? CPUSet(parsing: list) }
        },
        setSample: { limits, machine in limits.cpuset = machine.processors })

    package static let ioMax = LimitKind(
        option: "io-max", noun: "I/O limit", valueName: "device:key=rate",
        help:
            "io.max of a block device, by number or by a path on it: rbps, wbps (bytes a second), riops, wiops (operations a second), such as /srv:rbps=10M,wiops=100. May be given more than once.",
        controller: .io, file: "io.max", isRepeatable: true, readBack: .lineOfDevice,
        parse: { (text, limits) throws(LimitSyntaxError) in
            limits.ioMax = limits.ioMax.holding(try IOLimit(parsing: text))
        },
        kernelValues: { limits in
            limits.ioMax.map { limit in
                "\(limit.device) "
                    + limit.sortedRates.map { "\($0.rate.rawValue)=\($0.value.kernelText)" }.joined(separator: " ")
            }
        },
        origin: { limits in
            let paths = limits.ioMax.compactMap { if case .path(let path) = $0.device { path } else { nil } }
            return paths.isEmpty ? nil : paths.joined(separator: ", ")
        },
        legacyValues: { (limits) throws(LegacyRefusal) in
            limits.ioMax.flatMap { limit in
                limit.sortedRates.map { rate, value in
                    LegacyValue(rate.legacyFile, "\(limit.device) \(value.value ?? 0)")
                }
            }
        },
        busProperties: { limits in
            IOLimit.Rate.allCases.compactMap { rate in
                let devices = limits.ioMax.compactMap { limit in
                    limit.rates[rate].map { (path: limit.device.systemdPath, value: $0.value ?? .max) }
                }
                return devices.isEmpty ? nil : BusProperty(name: rate.directive, value: .devices(devices))
            }
        },
        directives: { limits in
            limits.ioMax.flatMap { limit in
                limit.sortedRates.map { rate, value in
                    let text = value.value.map { String($0) } ?? "infinity"
                    return Directive(name: rate.directive, value: "\(limit.device.systemdPath) \(text)")
                }
            }
        },
        directiveNames: IOLimit.Rate.allCases.map(\.directive), reportKey: "io_max",
        figure: { limits in
            let devices = limits.ioMax.map { limit in
                Figure.Device(
                    device: limit.device.description,
                    rates: Dictionary(
                        uniqueKeysWithValues: limit.sortedRates.compactMap { rate, value in
                            value.value.map { (rate, $0) }
                        }))
            }
            return devices.isEmpty ? nil : .devices(devices)
        },
        restore: { figure, limits in
            guard case .devices(let devices) = figure else { return }
            for entry in devices {
                guard let device = IOLimit.Device(entry.device[...]) else { continue }
                limits.ioMax.append(IOLimit(device, entry.rates.mapValues { .value($0) }))
            }
        },
        setSample: { limits, machine in
            if let device = machine.device { limits.ioMax = [IOLimit(device, [.readBytes: .value(1 << 30)])] }
        })

    // MARK: What rows have in common

    /// A row for an amount of memory.
    private static func memory(
        _ option: String, _ noun: String, _ file: String, _ directiveName: String, _ reportKey: String, help: String,
        zeroAllowed: Bool = false, get: @escaping @Sendable (Limits) -> Ceiling<MemoryAmount>?,
        set: @escaping @Sendable (inout Limits, Ceiling<MemoryAmount>) -> Void,
        legacy: @escaping @Sendable (Limits) throws(LegacyRefusal) -> [LegacyValue],
        setSample: @escaping @Sendable (inout Limits, Sample) -> Void
    ) -> LimitKind {
        LimitKind(
            option: option, noun: noun, valueName: "size", help: help, controller: .memory, file: file,
            isMissingWithoutSwap: file == "memory.swap.max",
            parse: { (text, limits) throws(LimitSyntaxError) in
                set(&limits, try Ceiling(parsing: text, zeroAllowed: zeroAllowed))
            },
            kernelValues: { limits in get(limits).map { [$0.kernelText] } ?? [] },
            origin: { limits in
                if case .share(let share) = get(limits)?.value { "\(share) of RAM" } else { nil }
            },
            legacyValues: legacy,
            busProperties: { limits in number(directiveName, get(limits)?.value?.bytes) },
            directives: { limits in directive(directiveName, get(limits)?.unitText) },
            directiveNames: [directiveName], reportKey: reportKey,
            figure: { limits in
                if case .bytes(let bytes) = get(limits)?.value { .integer(bytes) } else { nil }
            },
            restore: { figure, limits in
                if case .integer(let bytes) = figure { set(&limits, .value(.bytes(bytes))) }
            },
            setSample: setSample)
    }

    private static func number(_ name: String, _ value: UInt64?) -> [BusProperty] {
        value.map { [BusProperty(name: name, value: .number($0))] } ?? []
    }

    private static func directive(_ name: String, _ value: String?) -> [Directive] {
        value.map { [Directive(name: name, value: $0)] } ?? []
    }
}

extension LimitKind.Figure {
    /// JSON does not tell 2 from 2.0.
    var number: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        case .text, .devices: nil
        }
    }
}
