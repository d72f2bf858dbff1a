/// Limits as one machine enforces them: shares of RAM are bytes, and a memory limit pins swap.
package struct ResolvedLimits: Equatable, Sendable {
    package private(set) var values: Limits
    /// The limits as they were given.
    private let given: Limits

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
            let resolved = IOLimit(try number(limit.device), limit.rates)
            values.ioMax = values.ioMax.merging([resolved], keepingStricter: true)
        }
        given = limits
    }

    /// Limits that were resolved before, as a report has them.
    package init(inForce limits: Limits) { self.init(limits, memory: ByteCount(0)) { $0 } }

    /// Without limits.
    package static let none = ResolvedLimits(Limits(), memory: ByteCount(0)) { $0 }

    /// These limits with room for more processes and threads, and for more memory, which are not the job's.
    package func adding(pids count: Int, memory: ByteCount) -> ResolvedLimits {
        func sum(_ own: Ceiling<MemoryAmount>?) -> Ceiling<MemoryAmount>? {
            guard let bytes = own?.value?.bytes else { return own }
            let (sum, isTooLarge) = bytes.addingReportingOverflow(memory.bytes)
            return isTooLarge ? .max : .value(.bytes(sum))
        }
        var limits = self
        if let own = values.pidsMax?.value { limits.values.pidsMax = .value(own + count) }
        limits.values.memoryMax = sum(values.memoryMax)
        limits.values.memoryHigh = sum(values.memoryHigh)
        return limits
    }

    /// What the user gave, for messages, where it is not what is written: `50% of RAM`.
    package func origin(of kind: LimitKind) -> String? { kind.origin(given) }

    /// What asked for a limit of this kind. It may be another kind of limit: a memory limit pins swap.
    package func name(of kind: LimitKind) -> LimitName {
        kind == .swapMax && given.swapMax == nil ? LimitKind.memoryMax.name : kind.name
    }
}
