/// Limits as one machine enforces them: shares of RAM are bytes, and a memory limit pins swap.
package struct ResolvedLimits: Equatable, Sendable {
    package private(set) var values: Limits
    /// What the user gave, for messages, where it is not what is written: `50% of RAM`.
    package let origins: [LimitKind: String]
    /// Whether a memory limit pins swap, which nobody has asked for.
    private let isSwapImplied: Bool

    /// - Parameters:
    ///   - memory: the machine's RAM.
    ///   - number: finds the number of the disk that a device is or is on.
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

    /// These limits with room for `count` more processes and threads, which are not the job's.
    package func adding(pids count: Int) -> ResolvedLimits {
        var limits = self
        if let own = values.pidsMax?.value { limits.values.pidsMax = .value(own + count) }
        return limits
    }

    /// What asked for a limit of this kind. It may be another kind of limit: a memory limit pins swap.
    package func name(of kind: LimitKind) -> LimitName {
        kind == .swapMax && isSwapImplied ? LimitKind.memoryMax.name : kind.name
    }
}
