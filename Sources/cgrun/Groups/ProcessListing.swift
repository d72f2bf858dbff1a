internal import CgroupSandbox
internal import Cgroups
internal import LinuxSystem
internal import SandboxValues
internal import Services

/// What `cgrun ps` lists: a service of the caller's, or a job that runs.
struct ListedTree: Encodable {
    enum Kind: String, Encodable { case service, job }

    /// The version of the JSON form. It grows when a field changes its meaning or goes, not when one is added.
    var schema = 1
    var kind: Kind
    /// The name of the service, or the id of the job.
    var name: String
    /// As in a status; a job is `running`, or `orphaned` where nobody looks after it.
    var state: ServiceState
    /// The main process; of a job, the oldest.
    @Explicit var pid: ProcessID?
    /// How long that process has run.
    @Explicit var ageSeconds: Double?
    @Explicit var memoryBytes: UInt64?
    @Explicit var memoryLimitBytes: UInt64?
    /// Processes and threads, or processes alone where nobody counts threads.
    var tasks: UInt64
    var argv: [String]
    @Explicit var cgroup: String?

    enum CodingKeys: String, CodingKey {
        case schema, kind, name, state, pid, tasks, argv, cgroup
        case ageSeconds = "age_seconds"
        case memoryBytes = "memory_bytes"
        case memoryLimitBytes = "memory_limit_bytes"
    }

    init(_ status: ServiceStatus) {
        (kind, name, state, pid) = (.service, status.name, status.state, status.pid)
        ageSeconds = status.pid.flatMap(ProcessTable.startTime).map(Self.age)
        (memoryBytes, memoryLimitBytes) = (status.memoryBytes, status.memoryLimitBytes)
        tasks = status.tasks ?? UInt64(status.pids.count)
        (argv, cgroup) = (status.argv, status.cgroup)
    }

    init(_ job: RunningJobs.Found) {
        let oldest = job.pids.compactMap { pid in ProcessTable.startTime(pid).map { (pid: pid, start: $0) } }
            .min { ($0.start, $0.pid) < ($1.start, $1.pid) }
        kind = .job
        // The id of a job is in the name of its cgroup, unless that was given.
        name = job.name.hasPrefix("cgrun-") ? String(job.name.dropFirst(6)) : job.name
        state = job.isKept ? .running : .orphaned
        pid = oldest?.pid
        ageSeconds = (oldest?.start).map(Self.age)
        (memoryBytes, memoryLimitBytes) = (job.memoryBytes, job.memoryLimitBytes)
        tasks = job.tasks ?? UInt64(job.pids.count)
        argv = oldest.map { ProcessTable.commandLine($0.pid) } ?? []
        cgroup = job.path
    }

    private static func age(_ ticks: UInt64) -> Double {
        max(0, BootTime.now.sinceBoot.seconds - Double(ticks) / Double(Machine.ticksPerSecond))
    }

    /// The services of the caller and the jobs that run here, and what to exit with.
    static func all(_ actions: ServiceActions) throws -> ([ListedTree], code: Int32) {
        let (services, code) = try actions.statuses(of: actions.store.names.map(actions.client))
        let jobs: [RunningJobs.Found]
        do { jobs = try RunningJobs.all(in: Hierarchies.current()) } catch {
            throw UsageError(LaunchError(error, .options).message)
        }
        let sorted = jobs.map(ListedTree.init).sorted { $0.ageSeconds ?? 0 > $1.ageSeconds ?? 0 }
        return (services.map(ListedTree.init) + sorted, code)
    }

    // MARK: For people

    private var columns: [String] {
        let memory = memoryBytes.map { "\(ByteCount($0))" } ?? "-"
        return [
            name, state.rawValue, pid.map { "\($0)" } ?? "-", ageSeconds.map(Self.text) ?? "-",
            memoryLimitBytes.flatMap { state.isActive ? "\(memory)/\(ByteCount($0))" : nil } ?? memory,
            tasks == 0 ? "-" : "\(tasks)",
            argv.joined(separator: " ").inOneLine,
        ]
    }

    /// - Parameter width: how many characters a line may have; `nil`: as many as it likes.
    static func table(_ trees: [ListedTree], width: Int?) -> [String] {
        let rows = [["NAME", "STATE", "PID", "AGE", "MEMORY", "TASKS", "COMMAND"]] + trees.map(\.columns)
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let padded = zip(row, widths).dropLast().map { $0 + String(repeating: " ", count: $1 - $0.count) }
            let line = (padded + row.suffix(1)).joined(separator: "  ")
            return width.map { String(line.prefix($0)) } ?? line
        }
    }

    /// Two units at most: `1d2h`, `5m30s`.
    static func text(_ seconds: Double) -> String {
        let whole = Int(seconds)
        return switch whole {
        case ..<60: "\(whole)s"
        case ..<3600: "\(whole / 60)m\(whole % 60)s"
        case ..<86400: "\(whole / 3600)h\(whole % 3600 / 60)m"
        default: "\(whole / 86400)d\(whole % 86400 / 3600)h"
        }
    }
}
