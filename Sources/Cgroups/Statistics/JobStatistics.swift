internal import LinuxSystem
internal import SystemPackage

/// What a job used and what happened to it, from its cgroup's files. `nil`: not available.
public struct JobStatistics: Sendable, Equatable {
    /// `memory.current` at the moment of reading, page cache included. Only while the job runs.
    public var memoryBytes: UInt64?
    /// `pids.current` at the moment of reading: processes and threads. Only while the job runs.
    public var pids: UInt64?
    /// `memory.peak` (Linux 5.19), page cache included.
    public var memoryPeakBytes: UInt64?
    /// `memory.stat`: what the memory consists of at the moment of reading.
    public var memoryParts: MemoryParts?
    /// `memory.swap.peak` (Linux 6.5).
    public var swapPeakBytes: UInt64?
    /// `memory.events`: this cgroup and those below.
    public var memoryEvents: EventCounts?
    /// `memory.events.local` (Linux 5.2): this cgroup alone.
    public var memoryEventsLocal: EventCounts?
    /// `pids.peak` (Linux 6.1): processes and threads.
    public var pidsPeak: UInt64?
    /// How many processes and threads a limit refused: since Linux 6.11 the job's own limit (`max` in
    /// `pids.events.local`); before, and with cgroup v1, any limit, to processes of this very cgroup (`pids.events`).
    public var pidsRefusedForks: UInt64?
    /// `usage_usec` in `cpu.stat`: CPU time. The kernel accounts for it without the controller, too.
    public var cpuUsageMicroseconds: UInt64?
    /// `user_usec` in `cpu.stat`: CPU time in programs.
    public var cpuUserMicroseconds: UInt64?
    /// `system_usec` in `cpu.stat`: CPU time in the kernel.
    public var cpuSystemMicroseconds: UInt64?
    /// `throttled_usec` in `cpu.stat`: how long `cpu.max` made the job wait; needs the controller.
    public var cpuThrottledMicroseconds: UInt64?
    /// `io.stat`: one entry for each device.
    public var io: [DeviceIO]?
    /// `memory.pressure` (Linux 4.20): totals since the job's start.
    public var memoryPressure: Pressure?
    /// `cpu.pressure` (Linux 4.20): totals since the job's start.
    public var cpuPressure: Pressure?
    /// `io.pressure` (Linux 4.20): totals since the job's start.
    public var ioPressure: Pressure?

    /// What memory consists of.
    public struct MemoryParts: Sendable, Equatable {
        /// `anon`: what processes have allocated.
        public var anonymousBytes: UInt64
        /// `file`: the page cache, which the kernel takes back when memory is short, but for `sharedBytes`.
        public var fileBytes: UInt64
        /// `shmem`, which is part of `fileBytes`: tmpfs and shared memory, which stay until they are removed.
        public var sharedBytes: UInt64
        /// `kernel` (Linux 5.18): what the kernel holds for the job; `nil` where it does not say.
        public var kernelBytes: UInt64?

        /// - Parameter counts: from `memory.stat` of cgroup v2.
        init(_ counts: EventCounts) {
            anonymousBytes = counts["anon"] ?? 0
            fileBytes = counts["file"] ?? 0
            sharedBytes = counts["shmem"] ?? 0
            kernelBytes = counts["kernel"]
        }

        /// - Parameters:
        ///   - counts: from `memory.stat` of cgroup v1.
        ///   - kernelBytes: from `memory.kmem.usage_in_bytes`.
        init(legacy counts: EventCounts, kernelBytes: UInt64?) {
            anonymousBytes = counts["total_rss"] ?? 0
            fileBytes = counts["total_cache"] ?? 0
            sharedBytes = counts["total_shmem"] ?? 0
            self.kernelBytes = kernelBytes
        }

        /// For tests.
        package init(anonymous: UInt64, file: UInt64, shared: UInt64, kernel: UInt64?) {
            (anonymousBytes, fileBytes, sharedBytes, kernelBytes) = (anonymous, file, shared, kernel)
        }
    }

    /// What was read from and written to a device.
    public struct DeviceIO: Sendable, Equatable {
        /// `major:minor`.
        public var device: String
        /// Bytes that were read from the device; what the page cache had does not count.
        public var readBytes: UInt64
        /// Bytes that were written to the device. The kernel may write them only after the job's end.
        public var writeBytes: UInt64
    }

    /// How long processes waited for a resource.
    public struct Pressure: Sendable, Equatable {
        /// How long at least one process waited.
        public var someMicroseconds: UInt64
        /// How long all processes waited at once; `nil` where the kernel does not say.
        public var fullMicroseconds: UInt64?
    }

    /// Statistics without any value.
    public init() {}

    static func deviceIO(_ text: String) -> [DeviceIO] {
        text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            func value(_ key: String) -> UInt64 {
                fields.first { $0.hasPrefix(key) }.flatMap { UInt64($0.dropFirst(key.count)) } ?? 0
            }
            guard let device = fields.first, device.contains(":") else { return nil }
            return DeviceIO(device: String(device), readBytes: value("rbytes="), writeBytes: value("wbytes="))
        }
    }

    static func pressure(_ text: String) -> Pressure? {
        var some: UInt64?
        var full: UInt64?
        // By bytes: taking text apart by characters is a good part of what a short job costs.
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
            guard let equals = line.lastIndex(of: UInt8(ascii: "=")),
                line[..<equals].suffix(5).elementsEqual("total".utf8),
                let total = UInt64(Substring(line[line.index(after: equals)...]))
            else { continue }
            if line.starts(with: "some ".utf8) { some = total }
            if line.starts(with: "full ".utf8) { full = total }
        }
        return some.map { Pressure(someMicroseconds: $0, fullMicroseconds: full) }
    }

    // MARK: What a death can be told from

    /// How many processes the kernel killed for want of memory; 0 where it does not say.
    public var oomKills: UInt64 { memoryEvents?["oom_kill"] ?? 0 }
}
