internal import LinuxSystem
package import SandboxValues

// What the cgroups above a job say of a limit that the job met, although it was not the job's own.

/// How many forks a cgroup above a job had refused when the job began.
struct PIDsRefusals: Sendable {
    let path: String
    let count: UInt64
}

extension JobCgroup {
    /// Whether the job has met its own memory limit, as far as the kernel tells.
    package func hasMetMemoryLimit(_ limit: ByteCount) -> Bool {
        if let events = directory.counts("memory.events") { return events["max"] ?? 0 > 0 || events["oom"] ?? 0 > 0 }
        // v1 counts no such events. There, processors charge memory in advance, in batches of 64 pages.
        let batch = 64 * UInt64(Machine.pageSize)
        return legacy(.memory)?.directory.number("memory.max_usage_in_bytes").map { $0 + batch >= limit.bytes } == true
    }

    /// The nearest cgroup above the job with a memory limit, as `path: bytes`.
    package var memoryLimitAbove: String? {
        let (above, file) =
            if let group = legacy(.memory) { (group.parent.directory.andAbove(.v1), "memory.limit_in_bytes") } else {
                (parent.andAbove(.v2), "memory.max")
            }
        // v1 writes "no limit" as the largest number of pages that it can count.
        return above.lazy.compactMap { cgroup in
            cgroup.number(file).flatMap { $0 < UInt64(Int64.max) / 2 ? "\(cgroup.path): \($0)" : nil }
        }.first
    }

    /// The cgroup above whose pids limit refused processes or threads while the job ran, as `path: limit`, or that it is
    /// out of sight; `nil` where none did, or where the job's own limit was met.
    ///
    /// - Parameters:
    ///   - statistics: those of the job.
    ///   - limit: the job's own pids limit.
    package func pidsLimitAbove(_ statistics: JobStatistics, _ limit: Int?) -> String? {
        guard !refusalsBefore.isEmpty else { return legacyPIDsLimitAbove(statistics, limit) }
        // Linux 6.11 and later counts where the limit is. Others beside the job may have met the same limit.
        guard statistics.pidsRefusedForks ?? 0 == 0 else { return nil }
        return refusalsBefore.lazy.compactMap { before in
            guard let cgroup = try? CgroupDirectory(opening: before.path, .v2),
                cgroup.counts(Self.localPIDsEvents)?["max"] ?? 0 > before.count
            else { return nil }
            return cgroup.pidsLimit
        }.first
    }

    /// v1, and v2 before Linux 6.11, count in the cgroup that wanted to fork, whosever limit was met.
    private func legacyPIDsLimitAbove(_ statistics: JobStatistics, _ limit: Int?) -> String? {
        guard statistics.pidsRefusedForks ?? 0 > 0 else { return nil }
        if let limit {
            guard let peak = statistics.pidsPeak, peak < limit else { return nil }
        }
        let above = legacy(.pids).map { $0.parent.directory.andAbove(.v1) } ?? parent.andAbove(.v2)
        let limited = above.filter { $0.number("pids.max") != nil }
        // Without a peak (before Linux 6.1) the nearest limit must do.
        let met = limited.first { cgroup in
            cgroup.number("pids.peak").map { $0 >= cgroup.number("pids.max") ?? .max } ?? true
        }
        // A container does not see the limits of what it is in.
        return (met ?? limited.first)?.pidsLimit ?? "out of sight"
    }

    /// How many forks each cgroup from `parent` upwards has refused by its own limit; none before Linux 6.11.
    static func pidsRefusals(from parent: CgroupDirectory) -> [PIDsRefusals] {
        parent.andAbove(.v2).compactMap { cgroup in
            cgroup.counts(localPIDsEvents)?["max"].map { PIDsRefusals(path: cgroup.path, count: $0) }
        }
    }

    private static let localPIDsEvents = "pids.events.local"

    private func legacy(_ controller: LegacyController) -> LegacyGroup? { legacy.first { $0.controller == controller } }
}

extension CgroupDirectory {
    fileprivate var pidsLimit: String { "\(path): \((try? read("pids.max")) ?? "gone")" }

    /// This cgroup and those above it, as far as they are mounted.
    fileprivate func andAbove(_ kind: Kind) -> [CgroupDirectory] {
        var found = [self]
        var path = Substring(self.path)
        while let slash = path.lastIndex(of: "/"), slash > path.startIndex {
            path = path[..<slash]
            guard let above = try? CgroupDirectory(opening: String(path), kind) else { break }
            found.append(above)
        }
        return found
    }
}
