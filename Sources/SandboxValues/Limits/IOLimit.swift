/// How fast one block device may be read and written.
public struct IOLimit: Equatable, Sendable {
    /// How the device is named.
    public enum Device: Hashable, Sendable, CustomStringConvertible {
        /// The device itself, or any file or directory on it.
        case path(String)
        /// Its number, as in `/proc/partitions`.
        case number(major: UInt32, minor: UInt32)

        /// The path, or `8:0`.
        public var description: String {
            switch self {
            case .path(let path): path
            case .number(let major, let minor): "\(major):\(minor)"
            }
        }
    }

    /// What is counted in each second.
    public enum Rate: String, Hashable, Sendable, CaseIterable {
        /// Bytes that are read.
        case readBytes = "rbps"
        /// Bytes that are written.
        case writeBytes = "wbps"
        /// Operations of reading.
        case readOperations = "riops"
        /// Operations of writing.
        case writeOperations = "wiops"

        /// The directive of systemd.resource-control(5).
        var directive: String {
            switch self {
            case .readBytes: "IOReadBandwidthMax"
            case .writeBytes: "IOWriteBandwidthMax"
            case .readOperations: "IOReadIOPSMax"
            case .writeOperations: "IOWriteIOPSMax"
            }
        }

        /// The name in the report.
        package var reportKey: String {
            switch self {
            case .readBytes: "read_bytes_per_second"
            case .writeBytes: "write_bytes_per_second"
            case .readOperations: "read_operations_per_second"
            case .writeOperations: "write_operations_per_second"
            }
        }

        /// The file of cgroup v1.
        var legacyFile: String {
            switch self {
            case .readBytes: "blkio.throttle.read_bps_device"
            case .writeBytes: "blkio.throttle.write_bps_device"
            case .readOperations: "blkio.throttle.read_iops_device"
            case .writeOperations: "blkio.throttle.write_iops_device"
            }
        }
    }

    /// Which device.
    public var device: Device
    /// The limit of each rate, per second. A rate that is not given stays as it is.
    public var rates: [Rate: Ceiling<UInt64>]

    /// Rates for a device. A device that the machine does not have is an error at the job's start.
    public init(_ device: Device, _ rates: [Rate: Ceiling<UInt64>]) {
        self.device = device
        self.rates = rates
    }

    package static let accepted =
        "DEVICE:KEY=VALUE,… with a path on the device, or its number as in 8:0, and rbps, wbps (bytes a second), "
        + "riops or wiops (operations a second), such as /:rbps=10M,wiops=100"

    /// Reads `/dev/sda:rbps=10M,wiops=max`, `/srv:wbps=1M`, `8:0:riops=100`.
    ///
    /// - Throws: for everything else, also for a key that is there twice, and for a rate of 0.
    public init(parsing text: String) throws(LimitSyntaxError) {
        let refusal = LimitSyntaxError(accepted: Self.accepted)
        guard let colon = text.lastIndex(of: ":") else { throw refusal }
        guard let device = Device(text[..<colon]) else { throw refusal }
        var rates: [Rate: Ceiling<UInt64>] = [:]
        for assignment in text[text.index(after: colon)...].split(separator: ",", omittingEmptySubsequences: false) {
            let words = assignment.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
            guard words.count == 2, let rate = Rate(rawValue: words[0]), rates[rate] == nil,
                let value = Self.ceiling(words[1], rate)
            else { throw refusal }
            rates[rate] = value
        }
        self.init(device, rates)
    }

    private static func ceiling(_ text: String, _ rate: Rate) -> Ceiling<UInt64>? {
        if text == "max" { return .max }
        switch rate {
        case .readBytes, .writeBytes:
            guard let bytes = (try? MemoryAmount(parsing: text))?.bytes, bytes > 0 else { return nil }
            return .value(bytes)
        case .readOperations, .writeOperations:
            // The kernel keeps rates of operations in 32 bits.
            guard let count = wholeNumber(text), count > 0, count < Int(UInt32.max) else { return nil }
            return .value(UInt64(count))
        }
    }

    /// The rates in the order in which the kernel lists them.
    var sortedRates: [(rate: Rate, value: Ceiling<UInt64>)] {
        Rate.allCases.compactMap { rate in rates[rate].map { (rate, $0) } }
    }
}

extension [IOLimit] {
    /// These limits and one more. Where two limit the same rate of the same device, the stricter one holds, as both
    /// together would have it.
    func holding(_ limit: IOLimit) -> [IOLimit] {
        guard let index = firstIndex(where: { $0.device == limit.device }) else { return self + [limit] }
        var limits = self
        limits[index].rates.merge(limit.rates) { a, b in a.strictness < b.strictness ? a : b }
        return limits
    }
}

extension IOLimit.Device {
    /// Reads an absolute path that needs no quotes in a unit file, or two numbers.
    init?(_ text: Substring) {
        if text.hasPrefix("/") {
            let taken = text.unicodeScalars.allSatisfy { !$0.isUnprintable && !" \\\"'%".unicodeScalars.contains($0) }
            guard taken, !text.split(separator: "/").contains("..") else { return nil }
            self = .path(String(text))
            return
        }
        let numbers = text.split(separator: ":", omittingEmptySubsequences: false).map { wholeNumber(String($0)) }
        guard numbers.count == 2, let major = numbers[0].flatMap({ UInt32(exactly: $0) }), major > 0,
            let minor = numbers[1].flatMap({ UInt32(exactly: $0) })
        else { return nil }
        self = .number(major: major, minor: minor)
    }

    /// A path by which systemd finds the device.
    var systemdPath: String {
        switch self {
        case .path(let path): path
        case .number: "/dev/block/\(self)"
        }
    }
}

extension Ceiling where Value == UInt64 {
    /// The value of a key in `io.max`.
    var kernelText: String { value.map { String($0) } ?? "max" }

    /// The smaller, the stricter.
    fileprivate var strictness: UInt64 { value ?? .max }
}
