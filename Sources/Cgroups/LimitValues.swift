internal import LinuxSystem

/// Text that is not a value of the kind asked for.
public struct LimitSyntaxError: Error, Equatable, Sendable {
    /// What would have been taken: "bytes, or a number with K, M, G or T, …".
    public var accepted: String

    package init(accepted: String) { self.accepted = accepted }
}

/// A limit, or `max`: no limit.
public enum Ceiling<Value: Equatable & Sendable>: Equatable, Sendable {
    /// So much and no more.
    case value(Value)
    /// Everything that the cgroup above has; the resource is accounted for nevertheless.
    case max

    /// The limit; `nil` for none.
    public var value: Value? {
        if case .value(let value) = self { value } else { nil }
    }
}

/// An amount of memory in bytes.
public struct ByteCount: Equatable, Comparable, Sendable, CustomStringConvertible {
    /// The kernel rounds limits down to whole pages; what was asked for is compared with that in mind.
    public var bytes: UInt64

    /// So many bytes.
    public init(_ bytes: UInt64) { self.bytes = bytes }

    public static func < (a: ByteCount, b: ByteCount) -> Bool { a.bytes < b.bytes }

    package static let accepted =
        "bytes, a number with K, M, G or T (or KiB, MiB, GiB, TiB; powers of 1024), a percentage of RAM, or max"

    /// The kernel keeps memory limits as signed 64-bit numbers of pages.
    private static let largest = UInt64(Int64.max)

    /// Reads `4096`, `512M`, `1.5G`, `2GiB`, `50%` (of `total`).
    ///
    /// - Throws: for everything else, `MB`, `-1`, `2 G` and `1e3` among it.
    public init(parsing text: String, percentOf total: ByteCount) throws(LimitSyntaxError) {
        let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let factor: UInt64
        var divisor: UInt64 = 1
        switch text.dropFirst(number.count) {
        case "": factor = 1
        case "K", "KiB": factor = 1 << 10
        case "M", "MiB": factor = 1 << 20
        case "G", "GiB": factor = 1 << 30
        case "T", "TiB": factor = 1 << 40
        case "%": (factor, divisor) = (total.bytes, 100)
        default: throw LimitSyntaxError(accepted: Self.accepted)
        }
        guard let decimal = Decimal(number), factor > 1 || decimal.fraction == 0,
            let bytes = decimal.multiplied(by: factor, over: divisor), bytes <= Self.largest
        else { throw LimitSyntaxError(accepted: Self.accepted) }
        guard divisor == 1 || bytes <= total.bytes else {
            throw LimitSyntaxError(accepted: "at most 100%: " + Self.accepted)
        }
        self.bytes = bytes
    }

    /// `64.0 MiB`, `512 B`.
    public var description: String {
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        guard bytes >= 1024 else { return "\(bytes) B" }
        var unit = 0
        var divisor: UInt64 = 1024
        while unit + 1 < units.count, bytes / divisor >= 1024 {
            divisor *= 1024
            unit += 1
        }
        let (whole, rest) = bytes.quotientAndRemainder(dividingBy: divisor)
        return "\(whole).\((rest / (divisor / 1024) * 10) / 1024) \(units[unit])"
    }
}

extension Ceiling where Value == ByteCount {
    /// Reads a size, a share of the machine's memory such as `50%`, and `max`.
    ///
    /// - Parameters:
    ///   - text: as `ByteCount` reads it.
    ///   - zeroAllowed: whether no memory at all makes sense, as it does for swap.
    /// - Throws: for everything else.
    public init(parsing text: String, zeroAllowed: Bool = false) throws(LimitSyntaxError) {
        if text == "max" {
            self = .max
            return
        }
        let count = try ByteCount(parsing: text, percentOf: ByteCount(Machine.memoryBytes))
        guard zeroAllowed || count.bytes > 0 else {
            throw LimitSyntaxError(accepted: "more than 0: " + ByteCount.accepted)
        }
        self = .value(count)
    }

    /// As the kernel reads it.
    package var kernelText: String { value.map { String($0.bytes) } ?? "max" }
}

extension Ceiling where Value == Int {
    package static let acceptedCount = "a whole number from 1 to 4194304, or max"

    /// What the kernel can count up to: its own PID_MAX_LIMIT.
    package static let counts = 1...4_194_304

    /// A number of processes and threads.
    public init(parsingCount text: String) throws(LimitSyntaxError) {
        if text == "max" {
            self = .max
        } else if let count = wholeNumber(text), Self.counts.contains(count) {
            self = .value(count)
        } else {
            throw LimitSyntaxError(accepted: Self.acceptedCount)
        }
    }

    package var kernelText: String { value.map { String($0) } ?? "max" }
}

/// CPU time per wall time, in processors: 1.5 is one and a half.
public struct CPUBandwidth: Equatable, Sendable {
    /// Microseconds of CPU time in each period of 100 ms.
    public var quotaMicroseconds: UInt64
    package static let periodMicroseconds: UInt64 = 100_000

    package static let accepted = "a number of processors such as 0.5 or 2, from 0.01 to 10000, or max"

    /// A quota; one that the kernel refuses is an error at the job's start.
    public init(quotaMicroseconds: UInt64) { self.quotaMicroseconds = quotaMicroseconds }

    /// Reads `0.5`, `2`.
    ///
    /// - Throws: below 0.01, as the kernel refuses quotas of less than 1 ms, and above 10000.
    public init(parsing text: String) throws(LimitSyntaxError) {
        guard let decimal = Decimal(text[...]),
            let quota = decimal.multiplied(by: Self.periodMicroseconds, over: 1),
            (1_000...10_000 * Self.periodMicroseconds).contains(quota)
        else { throw LimitSyntaxError(accepted: Self.accepted) }
        quotaMicroseconds = quota
    }

    /// The same in processors.
    public var cores: Double { Double(quotaMicroseconds) / Double(Self.periodMicroseconds) }
}

extension Ceiling where Value == CPUBandwidth {
    /// Reads what `CPUBandwidth` does, and `max`.
    ///
    /// - Throws: for everything else.
    public init(parsingCores text: String) throws(LimitSyntaxError) {
        self = text == "max" ? .max : .value(try CPUBandwidth(parsing: text))
    }

    package var kernelText: String {
        "\(value.map { String($0.quotaMicroseconds) } ?? "max") \(CPUBandwidth.periodMicroseconds)"
    }
}

/// A share of CPU time among siblings: 1 to 10000, 100 by default.
public struct CPUWeight: Equatable, Sendable {
    /// From 1 to 10000. The kernel's v1 would take others, and make something else of them.
    public let value: Int

    /// - Throws: for a number that is not from 1 to 10000.
    public init(_ value: Int) throws(LimitSyntaxError) {
        guard (1...10_000).contains(value) else {
            throw LimitSyntaxError(accepted: "a whole number from 1 to 10000 (100 is everybody's default)")
        }
        self.value = value
    }

    /// Reads a whole number.
    ///
    /// - Throws: for one that is not from 1 to 10000, and for everything else.
    public init(parsing text: String) throws(LimitSyntaxError) { try self.init(wholeNumber(text) ?? 0) }
}

/// Processors by number, as `cpuset.cpus` lists them: `0-3,8`.
public struct CPUSet: Equatable, Sendable {
    /// From 0; one that the machine does not have is an error at the job's start.
    public var processors: Set<Int>

    package static let accepted = "processor numbers and ranges such as 0-3,8"
    /// More than any kernel is built for.
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

    /// The processors that the calling process may use.
    package static var ofThisProcess: CPUSet? {
        let status = (try? readTextFile("/proc/self/status")) ?? ""
        return status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
            .flatMap { $0.split(separator: "\t").last }.flatMap { try? CPUSet(parsing: String($0)) }
    }

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

extension Duration {
    package static let accepted = "a number with ms, s, m, h or d, such as 500ms, 90s or 1.5h"

    /// Reads `500ms`, `90s`, `1.5h`; a bare number is refused, since its unit could only be guessed.
    package init(parsingLimit text: String, zeroAllowed: Bool = false) throws(LimitSyntaxError) {
        let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let milliseconds: UInt64
        switch text.dropFirst(number.count) {
        case "ms": milliseconds = 1
        case "s": milliseconds = 1_000
        case "m": milliseconds = 60_000
        case "h": milliseconds = 3_600_000
        case "d": milliseconds = 86_400_000
        default:
            // 0 is the same in every unit.
            guard zeroAllowed, text == "0" else { throw LimitSyntaxError(accepted: Self.accepted) }
            milliseconds = 1
        }
        guard let decimal = Decimal(number),
            let nanoseconds = decimal.multiplied(by: milliseconds * 1_000_000, over: 1),
            nanoseconds <= UInt64(Int64.max)
        else { throw LimitSyntaxError(accepted: Self.accepted) }
        guard nanoseconds > 0 || (zeroAllowed && decimal.isZero) else {
            throw LimitSyntaxError(accepted: "more than 0: " + Self.accepted)
        }
        self = .nanoseconds(Int64(nanoseconds))
    }

    package var seconds: Double {
        // The seconds of a larger one have no place in 64 bits.
        let parts = min(max(self, .seconds(Int64.min)), .seconds(Int64.max)).components
        return Double(parts.seconds) + Double(parts.attoseconds) / 1e18
    }
}

/// Digits only: no sign, no blank, no exponent.
private func wholeNumber(_ text: String) -> Int? {
    text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(text) : nil
}

/// A decimal number held exactly, so that 1.1G is not off by a rounded bit.
private struct Decimal {
    let whole: UInt64
    let fraction: UInt64
    let scale: UInt64

    init?(_ text: Substring) {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let whole = wholeNumber(String(first)) else { return nil }
        self.whole = UInt64(whole)
        guard parts.count == 2 else {
            (fraction, scale) = (0, 1)
            return
        }
        guard !parts[1].isEmpty, parts[1].count <= 9, let fraction = wholeNumber(String(parts[1])) else { return nil }
        self.fraction = UInt64(fraction)
        scale = (0..<parts[1].count).reduce(1) { power, _ in power * 10 }
    }

    var isZero: Bool { whole == 0 && fraction == 0 }

    /// Rounded down; `nil` when it does not fit.
    func multiplied(by factor: UInt64, over divisor: UInt64) -> UInt64? {
        let (numerator, overflow) = whole.multipliedReportingOverflow(by: scale)
        guard !overflow else { return nil }
        let (sum, overflow2) = numerator.addingReportingOverflow(fraction)
        guard !overflow2 else { return nil }
        let product = sum.multipliedFullWidth(by: factor)
        let over = scale * divisor
        guard product.high < over else { return nil }
        return over.dividingFullWidth(product).quotient
    }
}
