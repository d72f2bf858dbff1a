internal import Glibc
package import LinuxSystem
internal import SystemPackage

/// What the keeper of a service notes at its cgroup (an extended attribute), for a successor that has to find the main
/// process again. It is gone with the cgroup, and so cannot be out of date.
package struct JobNote: Sendable, Equatable {
    package var id: String
    package var pid: ProcessID
    /// When the process started, in clock ticks since boot: another process with the same pid has another start.
    package var processStart: UInt64
    package var startedAt: BootTime

    package init(id: String, pid: ProcessID, processStart: UInt64, startedAt: BootTime) {
        self.id = id
        self.pid = pid
        self.processStart = processStart
        self.startedAt = startedAt
    }

    var text: String { "\(id) \(pid) \(processStart) \(startedAt.sinceBoot.nanoseconds)" }

    init?(text: String) {
        let words = text.split(separator: " ")
        guard words.count == 4, let pid = ProcessID(words[1]), let start = UInt64(words[2]),
            let moment = Int64(words[3])
        else { return nil }
        self.init(
            id: String(words[0]), pid: pid, processStart: start,
            startedAt: BootTime(sinceBoot: .nanoseconds(moment)))
    }
}

extension JobCgroup {
    /// Notes what a successor needs. Where that fails, a successor starts the service anew.
    package func note(_ note: JobNote) { directory.setNote(note.text) }

    package var note: JobNote? { directory.note.flatMap { JobNote(text: $0) } }

    package func hasMainProcess(_ note: JobNote) -> Bool {
        switch mainProcess(note) {
        case .some: true
        case .none: false
        }
    }

    /// The main process, if it is still there: the same process, and in this cgroup.
    package func mainProcess(_ note: JobNote) -> ProcessDescriptor? {
        // Looked at once the pidfd is open: before, the pid might have passed to another process.
        guard let process = try? ProcessDescriptor(pid: note.pid), !process.hasEnded,
            ProcessTable.startTime(note.pid) == note.processStart, isMember(note.pid)
        else { return nil }
        return process
    }
}

extension PlannedCgroup {
    /// Ends what is left of an earlier job of the same name.
    ///
    /// - Throws: as `JobCgroup.end`.
    package func endLeftover() throws(SystemError) {
        guard let left = try reopen() else { return }
        try left.end(.bounded)
    }

    /// How long the guard of an earlier process may take to let go of the cgroups.
    private static let patience = Duration.seconds(5)

    /// Opens the cgroups that an earlier process has made.
    ///
    /// - Returns: `nil` where there are none.
    /// - Throws: `EBUSY` when another process looks after them.
    package func reopen() throws(SystemError) -> JobCgroup? {
        let directory: CgroupDirectory
        do { directory = try parents[0].openJob(name) } catch  where error.errno == .noSuchFileOrDirectory {
            for legacy in place.legacyParents { try? legacy.directory.removeChild(name) }
            return nil
        }
        try directory.lock(within: Self.patience)
        var groups: [LegacyGroup] = []
        for legacy in place.legacyParents {
            guard let group = try? legacy.directory.openJob(name) else { continue }
            groups.append(LegacyGroup(parent: legacy, directory: group))
        }
        return JobCgroup(
            parent: parents[0], directory: directory, name: name, legacy: groups,
            parentSharesLimits: parentSharesLimits, modernControllers: place.layout.mode == .unified ? nil : [])
    }
}

extension ParentCgroups {
    /// The paths of all parents, for a later process.
    package struct Paths: Codable, Sendable, Equatable {
        package var unified: String
        /// By the v1 controller.
        package var legacy: [String: String]
    }

    package var paths: Paths {
        let legacy = legacyParents.map { ($0.controller.rawValue, $0.directory.path) }
        return Paths(unified: path, legacy: Dictionary(legacy) { first, _ in first })
    }

    /// The parents that an earlier process has recorded.
    ///
    /// - Throws: when one of them is gone.
    package init(_ layout: Hierarchies, at paths: Paths) throws(CgroupError) {
        do throws(SystemError) {
            self.layout = layout
            parent = try CgroupDirectory(opening: paths.unified, .v2)
            var parents: [LegacyParent] = []
            for controller in LegacyController.allCases {
                guard let path = paths.legacy[controller.rawValue] else { continue }
                parents.append(
                    LegacyParent(controller: controller, directory: try CgroupDirectory(opening: path, .v1)))
            }
            legacyParents = parents
        } catch { throw CgroupError(error) }
    }
}
