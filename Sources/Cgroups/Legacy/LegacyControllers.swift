internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

// Everything that cgroup v1 needs: on hybrid machines the unified hierarchy
// tracks and kills, and these child groups, nested under the caller's own v1
// groups, limit. To drop hybrid support, delete this file and follow the compiler.

/// A v1 controller that has a v2 limit to stand in for.
package enum LegacyController: String, Sendable, CaseIterable {
    case memory, pids, cpu, cpuset, blkio

    var tag: UInt8 {
        switch self {
        case .memory: UInt8(ascii: "m")
        case .pids: UInt8(ascii: "p")
        case .cpu: UInt8(ascii: "c")
        case .cpuset: UInt8(ascii: "s")
        case .blkio: UInt8(ascii: "b")
        }
    }

    init?(tag: UInt8) {
        guard let controller = Self.allCases.first(where: { $0.tag == tag }) else { return nil }
        self = controller
    }

    var mount: String { "\(Hierarchies.root)/\(rawValue)" }

    /// The controller of cgroup v2.
    var modern: Controller {
        switch self {
        case .memory: .memory
        case .pids: .pids
        case .cpu: .cpu
        case .cpuset: .cpuset
        case .blkio: .io
        }
    }
}

/// One value for one v1 file.
struct LegacySetting {
    var file: String
    var value: String
    var limit: LimitName
    var readBack: LimitKind.ReadBack
    /// What the value was told from, for people: `50% of RAM`.
    var origin: String?
}

/// The caller's own group in one v1 hierarchy.
struct LegacyParent: Sendable {
    let controller: LegacyController
    let directory: CgroupDirectory
    private let limit: LimitName
    /// For parents that are only looked through, and limit nothing.
    fileprivate static let noLimit = LimitKind.memoryMax.name

    fileprivate init(_ controller: LegacyController, _ directory: CgroupDirectory, limit: LimitName) {
        self.controller = controller
        self.directory = directory
        self.limit = limit
    }

    /// The hierarchies that these limits need.
    static func open(for limits: ResolvedLimits, in layout: Hierarchies) throws(CgroupError) -> [LegacyParent] {
        var parents: [LegacyParent] = []
        for controller in LegacyController.allCases {
            guard let first = limits.settings.first(where: { $0.controller == controller.modern }) else { continue }
            parents.append(try open(controller, in: layout, limit: first.limit))
        }
        return parents
    }

    private static func open(
        _ controller: LegacyController, in layout: Hierarchies, limit: LimitName
    ) throws(CgroupError) -> LegacyParent {
        guard let own = layout.legacyPaths.first(where: { $0.controller == controller })?.own else {
            throw CgroupError(
                .controllerMissing(
                    controller.modern, limit: limit, path: Hierarchies.root,
                    available: layout.legacyPaths.map(\.controller.rawValue).sorted().joined(separator: " ")))
        }
        let below = try own.path(below: controller.mount)
        let path = below == "/" ? controller.mount : controller.mount + below
        do { return LegacyParent(controller, try CgroupDirectory(opening: path, .v1), limit: limit) } catch {
            throw CgroupError(error)
        }
    }

    /// - Throws: when one of the limits cannot be expressed here.
    func check(_ limits: ResolvedLimits) throws(CgroupError) { _ = try settings(for: limits) }

    /// The parents that exist, whatever the limits: where leftovers may be.
    static func all(in layout: Hierarchies) -> [LegacyParent] {
        LegacyController.allCases.compactMap { try? open($0, in: layout, limit: LegacyParent.noLimit) }
    }

    /// The v1 spelling of what concerns this controller, in the order of writing.
    fileprivate func settings(for limits: ResolvedLimits) throws(CgroupError) -> [LegacySetting] {
        var settings: [LegacySetting] = []
        for kind in LimitKind.inOrderOfWriting where kind.controller == controller.modern {
            let limit = limits.name(of: kind)
            let values: [LimitKind.LegacyValue]
            do { values = try kind.legacyValues(limits.values) } catch {
                throw CgroupError(.legacyUnsupported(limit: kind.name, reason: error.reason))
            }
            for value in values {
                if kind.isMissingWithoutSwap, !directory.has(value.file) {
                    guard limits.values.swapMax == .value(.bytes(0)), !Machine.hasSwap else {
                        throw CgroupError(.knobMissing(file: value.file, limit: limit))
                    }
                    continue
                }
                let text = value.text ?? (try? directory.read(value.copied)) ?? "0"
                settings.append(
                    LegacySetting(
                        file: value.file, value: text, limit: limit, readBack: kind.readBack,
                        origin: limits.origins[kind]))
            }
        }
        return settings
    }

    func steps(name: String, limits: ResolvedLimits) throws(CgroupError) -> [PlannedCgroup.Step] {
        let path = directory.path(of: name)
        return [PlannedCgroup.Step(path: path)]
            + (try settings(for: limits)).map {
                PlannedCgroup.Step(path: "\(path)/\($0.file)", value: $0.value, origin: $0.origin)
            }
    }

    func makeGroup(name: String, limits: ResolvedLimits) throws(CgroupError) -> LegacyGroup {
        let group: LegacyGroup
        do {
            group = LegacyGroup(
                controller, parent: directory, directory: try directory.makeLockedChild(name))
        } catch {
            switch error.errno {
            case .permissionDenied, .notPermitted:
                throw CgroupError(.legacyNotWritable(controller.modern, limit: limit, path: directory.path))
            default: throw CgroupError.writing(error, in: directory.path)
            }
        }
        do {
            for setting in try settings(for: limits) { try group.apply(setting) }
            return group
        } catch {
            try? group.remove(name)
            throw error
        }
    }
}

/// A job's group in one v1 hierarchy.
struct LegacyGroup: Sendable {
    let controller: LegacyController
    let directory: CgroupDirectory
    private let parent: CgroupDirectory

    init(
        _ controller: LegacyController, parent: CgroupDirectory, directory: CgroupDirectory
    ) {
        self.controller = controller
        self.parent = parent
        self.directory = directory
    }

    func apply(_ setting: LegacySetting) throws(CgroupError) {
        let got: String
        do {
            try directory.write(setting.value, to: setting.file)
            got = try directory.read(setting.file)
        } catch {
            // The v1 cpuset says EACCES for processors that its parent does not have.
            throw setting.file == "cpuset.cpus" && error.errno == .permissionDenied
                ? CgroupError(.rejected(error, limit: setting.limit))
                : CgroupError.setting(error, setting.file, limit: setting.limit, in: directory.path)
        }
        guard setting.readBack.has(setting.value, in: got, pageSize: UInt64(Machine.pageSize)) else {
            throw CgroupError(
                .notApplied(
                    file: directory.path(of: setting.file), wanted: setting.value, got: got,
                    limit: setting.limit))
        }
    }

    /// Changes limits that were set before, or `max`.
    func update(_ limits: ResolvedLimits) throws(CgroupError) {
        let settings = try LegacyParent(controller, parent, limit: LegacyParent.noLimit).settings(for: limits)
        do throws(CgroupError) {
            for setting in settings { try apply(setting) }
        } catch {
            // Memory alone may never exceed memory and swap together: raised, they go the other way round.
            guard controller == .memory, case .rejected = error.kind else { throw error }
            for setting in settings.reversed() { try apply(setting) }
        }
    }

    /// `tasks` rather than `cgroup.procs`: a single thread that moves itself needs no lock over all forks.
    func openTasks() throws(CgroupError) -> SharedDescriptor {
        do { return SharedDescriptor(try directory.open("tasks", O_WRONLY)) } catch { throw CgroupError(error) }
    }

    func remove(_ name: String) throws(SystemError) { try parent.removeChild(name) }

    // MARK: Statistics

    func addStatistics(to statistics: inout JobStatistics) {
        func number(_ file: String) -> UInt64? { (try? directory.read(file)).flatMap { UInt64($0) } }
        func counts(_ file: String) -> EventCounts {
            (try? directory.read(file)).map(EventCounts.init(parsing:)) ?? EventCounts()
        }
        switch controller {
        case .memory:
            statistics.memoryBytes = number("memory.usage_in_bytes")
            statistics.memoryPeakBytes = number("memory.max_usage_in_bytes")
            // v1 counts kills in the group alone. (Its failcnt stays at 0 on recent kernels.)
            let kills = counts("memory.oom_control")["oom_kill"] ?? 0
            statistics.memoryEvents = EventCounts([("oom_kill", kills)])
            statistics.memoryEventsLocal = statistics.memoryEvents
        case .pids:
            statistics.pids = number("pids.current")
            statistics.pidsPeak = number("pids.peak")
            statistics.pidsRefusedForks = counts("pids.events")["max"]
        case .cpu:
            statistics.cpuThrottledMicroseconds = counts("cpu.stat")["throttled_time"].map { $0 / 1_000 }
        case .cpuset, .blkio: break
        }
    }
}

extension CgroupDirectory {
    /// Kills what is in a v1 group, which has no `cgroup.kill`: each process by pidfd, and only
    /// if it is still a member once the pidfd is held.
    func killLegacyMembers() {
        for _ in 0..<1_000 {
            let members = allProcesses().filter { $0 > 0 }
            if members.isEmpty { return }
            for pid in members {
                guard let process = try? ProcessDescriptor(pid: pid), allProcesses().contains(pid) else { continue }
                try? process.send(.kill)
            }
            var pause = Poller()
            _ = pause.wait(.milliseconds(2))
        }
    }
}
