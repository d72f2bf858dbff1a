/// Limits as one machine enforces them: shares of RAM are bytes, and a memory limit pins swap.
package struct ResolvedLimits: Equatable, Sendable {
    package private(set) var values: Limits
    /// What a value was told from, for people, where that is not what is written: `50% of RAM`.
    package let origins: [LimitKind: String]
    /// Whether swap is pinned although nobody asked for that.
    private let isSwapImplied: Bool

    /// - Parameters:
    ///   - memory: the machine's RAM.
    ///   - number: the number of the disk that a path is on, as it is or as `major:minor`.
    package init<Failure: Error>(
        _ limits: Limits, memory: ByteCount, number: (IOLimit.Device) throws(Failure) -> IOLimit.Device
    ) throws(Failure) {
        func bytes(_ ceiling: Ceiling<MemoryAmount>?) -> Ceiling<MemoryAmount>? {
            ceiling.map { $0.value.map { .value(.bytes($0.bytes(of: memory))) } ?? .max }
        }
        values = limits
        values.memoryMax = bytes(limits.memoryMax)
        values.memoryHigh = bytes(limits.memoryHigh)
        values.swapMax = bytes(limits.effectiveSwapMax)
        values.ioMax = []
        for limit in limits.ioMax {
            values.ioMax = values.ioMax.holding(IOLimit(try number(limit.device), limit.rates))
        }
        isSwapImplied = limits.swapMax == nil
        origins = Dictionary(
            uniqueKeysWithValues: LimitKind.all.compactMap { kind in kind.origin(limits).map { (kind, $0) } })
    }

    /// Without limits.
    package static let none = ResolvedLimits(Limits(), memory: ByteCount(0)) { $0 }

    /// The same with room for more processes and threads, which are not the job's.
    package func adding(pids count: Int) -> ResolvedLimits {
        var limits = self
        if let own = values.pidsMax?.value { limits.values.pidsMax = .value(own + count) }
        return limits
    }

    /// What asks for a limit of this kind, which may be another kind's: a memory limit pins swap.
    package func name(of kind: LimitKind) -> LimitName {
        kind == .swapMax && isSwapImplied ? LimitKind.memoryMax.name : kind.name
    }
}
