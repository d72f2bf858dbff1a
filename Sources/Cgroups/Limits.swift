internal import LinuxSystem

/// What a job may use. `nil` leaves a resource alone; `.max` asks for its accounting without a limit.
public struct Limits: Equatable, Sendable {
    /// `memory.max`, for the whole tree, page cache included. Above it the kernel reclaims, then kills.
    public var memoryMax: Ceiling<ByteCount>?
    /// `memory.high`: above it the kernel reclaims and slows down, but does not kill. Not on hybrid machines.
    public var memoryHigh: Ceiling<ByteCount>?
    /// `memory.swap.max`. Pinned to 0 by `memoryMax` unless it is given, since a
    /// limit on memory alone only moves the job into swap.
    public var swapMax: Ceiling<ByteCount>?
    /// `pids.max`: processes and threads. Above it `fork` and `pthread_create` fail with `EAGAIN`.
    public var pidsMax: Ceiling<Int>?
    /// `cpu.max`: CPU time in each period of 100 ms. Above it the job waits for the next.
    public var cpuMax: Ceiling<CPUBandwidth>?
    /// `cpu.weight`: the share among siblings when there is not enough for all.
    public var cpuWeight: CPUWeight?
    /// `cpuset.cpus`: the processors that it may run on.
    public var cpuset: CPUSet?

    /// No limits: the job gets a cgroup and nothing else.
    public init() {}

    /// `swapMax`, or the 0 that a memory limit implies.
    public var effectiveSwapMax: Ceiling<ByteCount>? {
        swapMax ?? (memoryMax?.value == nil ? nil : .value(ByteCount(0)))
    }

    /// What the types can hold and no kernel could enforce, as a sentence about it.
    package var nonsense: String? {
        if let count = pidsMax?.value, !Ceiling<Int>.counts.contains(count) {
            return "pidsMax is \(count), where \(Ceiling<Int>.acceptedCount) is expected"
        }
        if let numbers = cpuset?.processors, numbers.isEmpty || !numbers.allSatisfy(CPUSet.numbers.contains) {
            return "cpuset has the processors \(numbers.sorted()), where \(CPUSet.accepted) are expected"
        }
        return nil
    }

    /// What to write, in order.
    package var settings: [CgroupSetting] {
        var result: [CgroupSetting] = []
        if let cpuset {
            result.append(CgroupSetting(.cpuset, "cpuset.cpus", cpuset.kernelText, option: "--cpuset"))
        }
        if let memoryHigh {
            result.append(CgroupSetting(.memory, "memory.high", memoryHigh.kernelText, option: "--mem-high"))
        }
        if let memoryMax {
            result.append(CgroupSetting(.memory, "memory.max", memoryMax.kernelText, option: "--mem"))
        }
        if let swap = effectiveSwapMax {
            result.append(
                CgroupSetting(
                    .memory, "memory.swap.max", swap.kernelText, option: swapMax == nil ? "--mem" : "--swap"))
        }
        if let pidsMax {
            result.append(CgroupSetting(.pids, "pids.max", pidsMax.kernelText, option: "--pids"))
        }
        if let cpuMax {
            result.append(CgroupSetting(.cpu, "cpu.max", cpuMax.kernelText, option: "--cpu"))
        }
        if let cpuWeight {
            result.append(CgroupSetting(.cpu, "cpu.weight", String(cpuWeight.value), option: "--cpu-weight"))
        }
        return result
    }
}

/// A cgroup v2 controller.
public enum Controller: String, Sendable, CaseIterable {
    /// Which processors.
    case cpuset
    /// CPU time. Its accounting needs no controller.
    case cpu
    /// What is read from and written to devices.
    case io
    /// Memory, page cache and swap.
    case memory
    /// Processes and threads.
    case pids

    /// What asks for the controller and limits nothing.
    var optionWithoutLimit: String {
        switch self {
        case .cpuset: "--cpuset with all processors"
        case .cpu: "--cpu max"
        case .io: "-p IOAccounting=yes"
        case .memory: "--mem max"
        case .pids: "--pids max"
        }
    }
}

/// One value for one control file, in the terms of cgroup v2.
package struct CgroupSetting: Equatable, Sendable {
    package var controller: Controller
    package var file: String
    package var value: String
    /// The option that asked for it.
    package var option: String

    init(_ controller: Controller, _ file: String, _ value: String, option: String) {
        self.controller = controller
        self.file = file
        self.value = value
        self.option = option
    }

    /// Whether the kernel took the value. It keeps memory in whole pages, rounded down.
    static func isApplied(_ value: String, readBack: String) -> Bool {
        if value == readBack { return true }
        guard let wanted = UInt64(value), let got = UInt64(readBack) else { return false }
        let page = UInt64(Machine.pageSize)
        return got == wanted / page * page
    }
}
