internal import LinuxSystem
internal import SystemPackage

/// What a job used and what happened to it, from its cgroup's files. `nil`: not available.
public struct JobStatistics: Sendable, Equatable {
    /// `memory.current` at the moment of reading, page cache included. Only while the job runs.
    public var memoryBytes: UInt64?
    /// `pids.current` at the moment of reading. Only while the job runs.
    public var pids: UInt64?
    /// `memory.peak` (5.19), page cache included.
    public var memoryPeakBytes: UInt64?
    /// `memory.swap.peak` (6.5).
    public var swapPeakBytes: UInt64?
    /// `memory.events`: this cgroup and those below.
    public var memoryEvents: EventCounts?
    /// `memory.events.local` (5.2): this cgroup alone.
    public var memoryEventsLocal: EventCounts?
    /// `pids.peak` (6.1).
    public var pidsPeak: UInt64?
    /// `max` in `pids.events`: how many forks the limit refused.
    public var pidsRefusedForks: UInt64?
    /// `cpu.stat`, which accounts without the controller, too.
    public var cpuUsageMicroseconds: UInt64?
    /// What was spent in programs.
    public var cpuUserMicroseconds: UInt64?
    /// What was spent in the kernel.
    public var cpuSystemMicroseconds: UInt64?
    /// How long `cpu.max` made the job wait; needs the controller.
    public var cpuThrottledMicroseconds: UInt64?
    /// `io.stat`.
    public var io: [DeviceIO]?
    /// `memory.pressure` (4.20): totals since the job's start.
    public var memoryPressure: Pressure?
    /// The same of `cpu.pressure`.
    public var cpuPressure: Pressure?
    /// The same of `io.pressure`.
    public var ioPressure: Pressure?

    /// What was read from and written to a device.
    public struct DeviceIO: Sendable, Equatable {
        /// `major:minor`.
        public var device: String
        /// What reached the device; the page cache is not a device.
        public var readBytes: UInt64
        /// The same of writes, which may come after the job's end.
        public var writeBytes: UInt64
    }

    /// How long processes waited for a resource.
    public struct Pressure: Sendable, Equatable {
        /// At least one of them.
        public var someMicroseconds: UInt64
        /// All of them at once; `nil` where the kernel does not tell.
        public var fullMicroseconds: UInt64?
    }

    /// Nothing is known.
    public init() {}

    static func deviceIO(_ text: String) -> [DeviceIO] {
        text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            func value(_ key: String) -> UInt64 {
                fields.first { $0.hasPrefix(key) }.flatMap { UInt64($0.dropFirst(key.count)) } ?? 0
            }
            guard let device = fields.first, device.contains(":") else { return nil }
            return DeviceIO(
                device: String(device), readBytes: value("rbytes="), writeBytes: value("wbytes="))
        }
    }

    static func pressure(_ text: String) -> Pressure? {
        var some: UInt64?
        var full: UInt64?
        // By bytes: taking text apart by characters is a good part of what a short job costs.
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
            guard let equals = line.lastIndex(of: UInt8(ascii: "=")),
                line[..<equals].ends(with: "total".utf8), let total = UInt64(line[line.index(after: equals)...])
            else { continue }
            if line.starts(with: "some ".utf8) { some = total }
            if line.starts(with: "full ".utf8) { full = total }
        }
        return some.map { Pressure(someMicroseconds: $0, fullMicroseconds: full) }
    }

    // MARK: What a death can be told from

    /// How many processes the kernel killed for want of memory; 0 where it does not tell.
    public var oomKills: UInt64 { memoryEvents?["oom_kill"] ?? 0 }
}

/// Lines of `key count`, as `memory.events` and `cpu.stat` have them; in JSON, an object. An array, because
/// a dictionary's type costs more to set up than the few comparisons of a short life.
public struct EventCounts: Sendable {
    /// In the order of the file.
    public private(set) var entries: [Entry] = []

    /// One line.
    public struct Entry: Sendable, Equatable {
        /// As in the kernel: `oom_kill`.
        public var key: String
        /// How often.
        public var count: UInt64
    }

    /// No lines.
    public init() {}

    package init(_ entries: [(String, UInt64)]) {
        self.entries = entries.map { Entry(key: $0.0, count: $0.1) }
    }

    init(parsing text: String) {
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
            guard let blank = line.firstIndex(of: UInt8(ascii: " ")),
                let count = UInt64(line[line.index(after: blank)...])
            else { continue }
            entries.append(Entry(key: String(Substring(line[..<blank])), count: count))
        }
    }

    mutating func add(_ others: EventCounts) {
        for index in entries.indices { entries[index].count += others[entries[index].key] ?? 0 }
    }

    /// The count of a key; `nil` where the kernel has no such line.
    public subscript(key: String) -> UInt64? { entries.first { $0.key == key }?.count }
}

extension EventCounts: Equatable {
    /// Whatever the order.
    public static func == (left: EventCounts, right: EventCounts) -> Bool {
        left.entries.count == right.entries.count && left.entries.allSatisfy { right[$0.key] == $0.count }
    }
}

extension EventCounts: ExpressibleByDictionaryLiteral {
    /// As a kernel would have told it.
    public init(dictionaryLiteral elements: (String, UInt64)...) { self.init(elements) }
}

extension EventCounts: Codable {
    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// From an object of numbers.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Name.self)
        entries = try container.allKeys.map {
            Entry(key: $0.stringValue, count: try container.decode(UInt64.self, forKey: $0))
        }
    }

    /// To an object of numbers.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Name.self)
        for entry in entries { try container.encode(entry.count, forKey: Name(stringValue: entry.key)) }
    }
}

extension JobCgroup {
    package enum Detail: Sendable {
        /// Only what tells why a job died.
        case death
        case everything
        /// Everything, and what is in use at the moment.
        case current
    }

    /// Reads the files of the cgroup. Final only once the tree is empty, and gone with the cgroup.
    package func statistics(_ detail: Detail = .everything) -> JobStatistics {
        var result = JobStatistics()
        func number(_ file: String) -> UInt64? { (try? directory.read(file)).flatMap { UInt64($0) } }
        func counts(_ file: String) -> EventCounts? { (try? directory.read(file)).map(EventCounts.init(parsing:)) }

        // Without its controller a file is not there; asking for it costs as much as reading another.
        let hasMemory = modernControllers.contains("memory")
        let hasPIDs = modernControllers.contains("pids")
        if hasMemory {
            // What tells why comes first: a manager that stops the job's unit removes the cgroup meanwhile.
            result.memoryEvents = counts("memory.events")
            result.memoryEventsLocal = counts("memory.events.local")
            if parentSharesLimits, let above = (try? parent.read("memory.events.local")).map(EventCounts.init(parsing:))
            {
                // What else is in the parent is next to nothing, and yet may meet the limit first.
                result.memoryEvents?.add(above)
                result.memoryEventsLocal?.add(above)
            }
            result.memoryPeakBytes = number("memory.peak")
        }
        if hasPIDs {
            result.pidsRefusedForks = counts("pids.events")?["max"]
            result.pidsPeak = number("pids.peak")
        }
        if detail == .current {
            if hasMemory { result.memoryBytes = number("memory.current") }
            if hasPIDs { result.pids = number("pids.current") }
        }
        if detail != .death {
            let cpu = counts("cpu.stat")
            result.cpuUsageMicroseconds = cpu?["usage_usec"]
            result.cpuUserMicroseconds = cpu?["user_usec"]
            result.cpuSystemMicroseconds = cpu?["system_usec"]
            result.cpuThrottledMicroseconds = cpu?["throttled_usec"]
            if parentSharesLimits, modernControllers.contains("cpu"),
                let above = (try? parent.read("cpu.stat")).map(EventCounts.init(parsing:))?["throttled_usec"]
            {
                // The periods of the two begin at different moments: now one is out of quota, now the other.
                result.cpuThrottledMicroseconds? += above
            }
            if hasMemory { result.swapPeakBytes = number("memory.swap.peak") }
            if modernControllers.contains("io") {
                result.io = (try? directory.read("io.stat")).map(JobStatistics.deviceIO)
            }
            func pressure(_ file: String) -> JobStatistics.Pressure? {
                (try? directory.read(file)).flatMap(JobStatistics.pressure)
            }
            result.memoryPressure = pressure("memory.pressure")
            result.cpuPressure = pressure("cpu.pressure")
            result.ioPressure = pressure("io.pressure")
        }
        for group in legacy { group.addStatistics(to: &result) }
        return result
    }

    /// The nearest cgroup above the job with a memory limit of its own, as `path: bytes`.
    package var limitedAncestor: String? {
        var path = Substring(directory.path)
        while let slash = path.lastIndex(of: "/"), slash > path.startIndex {
            path = path[..<slash]
            guard let above = try? CgroupDirectory(opening: String(path), .v2) else { return nil }
            if let limit = try? above.read("memory.max"), limit != "max" { return "\(path): \(limit)" }
        }
        return nil
    }

    /// CPU time that the whole tree has used so far.
    package var cpuTime: Duration? {
        guard let text = try? directory.read("cpu.stat"),
            let used = EventCounts(parsing: text)["usage_usec"]
        else { return nil }
        return .microseconds(Int64(clamping: used))
    }
}

extension UInt64 {
    /// Decimal digits and nothing else.
    fileprivate init?(_ digits: Substring.UTF8View) {
        self = 0
        guard !digits.isEmpty else { return nil }
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            let (product, isTooLarge) = multipliedReportingOverflow(by: 10)
            let (sum, isStillTooLarge) = product.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
            guard !isTooLarge, !isStillTooLarge else { return nil }
            self = sum
        }
    }
}

extension Substring.UTF8View {
    fileprivate func ends(with suffix: String.UTF8View) -> Bool { self.suffix(suffix.count).elementsEqual(suffix) }
}
