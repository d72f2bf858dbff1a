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

        /// The directive of systemd.resource-control(5), the key in the report, and the file of cgroup v1.
        package var names: (directive: String, reportKey: String, legacyFile: String) {
            switch self {
            case .readBytes: ("IOReadBandwidthMax", "read_bytes_per_second", "blkio.throttle.read_bps_device")
            case .writeBytes: ("IOWriteBandwidthMax", "write_bytes_per_second", "blkio.throttle.write_bps_device")
            case .readOperations: ("IOReadIOPSMax", "read_operations_per_second", "blkio.throttle.read_iops_device")
            case .writeOperations: ("IOWriteIOPSMax", "write_operations_per_second", "blkio.throttle.write_iops_device")
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
        guard let colon = text.lastIndex(of: ":"), let device = Device(String(text[..<colon])) else { throw refusal }
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

extension IOLimit.Device {
    /// Reads an absolute path that needs no quotes in a unit file, or two numbers.
    package init?(_ text: String) {
        if text.hasPrefix("/") {
            let taken = text.unicodeScalars.allSatisfy { !$0.isUnprintable && !" \\\"'%".unicodeScalars.contains($0) }
            guard taken, !text.split(separator: "/").contains("..") else { return nil }
            self = .path(text)
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
