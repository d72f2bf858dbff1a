/// What a job may use. `nil` leaves a resource alone; `.max` asks for its accounting without a limit.
public struct Limits: Equatable, Sendable {
    /// `memory.max`, for the whole tree, page cache included. Above it the kernel reclaims, then kills.
    public var memoryMax: Ceiling<MemoryAmount>?
    /// `memory.high`: above it the kernel reclaims and slows down, but does not kill. Not on hybrid machines.
    public var memoryHigh: Ceiling<MemoryAmount>?
    /// `memory.swap.max`. Pinned to 0 by `memoryMax` unless it is given, since a
    /// limit on memory alone only moves the job into swap.
    public var swapMax: Ceiling<MemoryAmount>?
    /// `pids.max`: processes and threads. Above it `fork` and `pthread_create` fail with `EAGAIN`.
    public var pidsMax: Ceiling<Int>?
    /// `cpu.max`: CPU time in each period of 100 ms. A job that has used it up waits for the next period.
    public var cpuMax: Ceiling<CPUBandwidth>?
    /// `cpu.weight`: the share among siblings when there is not enough for all.
    public var cpuWeight: CPUWeight?
    /// `cpuset.cpus`: the processors that the job may run on.
    public var cpuset: CPUSet?
    /// `io.max`: rates for block devices. Above a rate the job waits. Writes that wait in the page cache are counted
    /// where the filesystem knows whose they are (ext4, XFS, Btrfs and F2FS with cgroup v2).
    public var ioMax: [IOLimit] = []

    /// No limits: the job gets a cgroup and nothing else.
    public init() {}

    /// Takes over the limits that `changes` has; all others stay as they are.
    package mutating func adopt(_ changes: Limits) {
        for kind in LimitKind.all { kind.field.adopt(changes, &self) }
    }

    /// `swapMax`, or the 0 that a memory limit implies.
    public internal(set) var effectiveSwapMax: Ceiling<MemoryAmount>? {
        get { swapMax ?? (memoryMax?.value == nil ? nil : .value(.bytes(0))) }
        set { swapMax = newValue }
    }

    /// `ioMax`; `nil` for no limit, as with all others.
    var givenIOMax: [IOLimit]? {
        get { ioMax.isEmpty ? nil : ioMax }
        set { ioMax = newValue ?? [] }
    }

    /// A sentence about a value that its type can hold and no kernel could enforce; `nil` if there is none.
    package var nonsense: String? {
        if let count = pidsMax?.value, !Ceiling<Int>.counts.contains(count) {
            return "pidsMax is \(count), where \(Ceiling<Int>.acceptedCount) is expected"
        }
        if let numbers = cpuset?.processors, numbers.isEmpty || !numbers.allSatisfy(CPUSet.numbers.contains) {
            return "cpuset has the processors \(numbers.sorted()), where \(CPUSet.accepted) are expected"
        }
        return nil
    }

    /// The kinds of limits that are given, or implied by others.
    package var kinds: [LimitKind] { LimitKind.all.filter { !$0.directives(self).isEmpty } }

    /// The controllers that these limits need.
    package var controllers: [Controller] { kinds.map(\.controller) }
}
