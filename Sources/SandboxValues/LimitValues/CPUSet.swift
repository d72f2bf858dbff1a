/// Processors by number, as `cpuset.cpus` lists them: `0-3,8`.
public struct CPUSet: Equatable, Sendable {
    /// Numbers from 0. A processor that the machine does not have is an error at the job's start.
    public var processors: Set<Int>

    package static let accepted = "processor numbers and ranges such as 0-3,8"
    /// The numbers that are accepted, more than any kernel is built for.
    package static let numbers = 0..<8192

    /// Reads `0-3,8`.
    ///
    /// - Throws: for everything else.
    public init(parsing text: String) throws(LimitSyntaxError) {
        processors = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
                .map { wholeNumber(String($0)) }
            guard let first = ends[0], let last = ends[ends.count - 1], first <= last, Self.numbers.contains(last)
            else {
                throw LimitSyntaxError(accepted: Self.accepted)
            }
            processors.formUnion(first...last)
        }
    }
}

extension CPUSet: SingleLimitValue {
    package init?(figure list: String) { try? self.init(parsing: list) }

    package var figure: String? { kernelText }
    package var unitText: String { kernelText.split(separator: ",").joined(separator: " ") }
    package var busValue: LimitKind.BusProperty.Value? { .bits(processors) }

    /// The shortest list, as the kernel prints it.
    package var kernelText: String {
        var ranges: [ClosedRange<Int>] = []
        for number in processors.sorted() {
            if let last = ranges.last, last.upperBound + 1 == number {
                ranges[ranges.count - 1] = last.lowerBound...number
            } else {
                ranges.append(number...number)
            }
        }
        return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
            .joined(separator: ",")
    }
}
