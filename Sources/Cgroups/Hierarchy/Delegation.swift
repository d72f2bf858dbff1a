internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// Passing controllers on to children, under cgroup v2's rule that a cgroup
/// which does so holds no processes itself.
enum Delegation {
    static func missingControllers(
        for limits: ResolvedLimits, in parent: CgroupDirectory
    ) throws(CgroupError) -> [Controller] {
        let enabled: [Substring]
        let available: String
        do {
            enabled = try parent.read("cgroup.subtree_control").split(separator: " ")
            available = try parent.read("cgroup.controllers")
        } catch { throw CgroupError(error) }
        var missing: [Controller] = []
        for setting in limits.settings where !enabled.contains(Substring(setting.controller.rawValue)) {
            guard !missing.contains(setting.controller) else { continue }
            guard available.split(separator: " ").contains(Substring(setting.controller.rawValue)) else {
                throw CgroupError(
                    .controllerMissing(
                        setting.controller, limit: setting.limit, path: parent.path, available: available))
            }
            missing.append(setting.controller)
        }
        return missing
    }

    static func text(_ controllers: [Controller]) -> String { change("+", controllers.map(\.rawValue)) }

    /// Makes a cgroup ready for jobs with these limits: it passes their controllers on, and has no processes
    /// itself where the kernel wants that.
    ///
    /// - Throws: why it cannot be. What was enabled is disabled again then.
    static func prepare(_ parent: CgroupDirectory, for limits: ResolvedLimits) throws(CgroupError) {
        let missing = try missingControllers(for: limits, in: parent)
        guard try needsChange(parent, missing) else { return }
        var controllers = missing.map(\.rawValue)
        do throws(CgroupError) {
            // A process may be forked into the parent between moving and enabling.
            for _ in 0..<attempts {
                if try arrange(parent, toPassOn: &controllers) { return }
            }
            throw busy(parent)
        } catch {
            undo(missing, in: parent)
            throw error
        }
    }

    private static let attempts = 10

    /// - Returns: whether jobs can be made there now; if not, a process has come meanwhile.
    private static func arrange(
        _ parent: CgroupDirectory, toPassOn controllers: inout [String]
    ) throws(CgroupError) -> Bool {
        try checkVacating(parent)
        if try isDomainOfThreads(parent) {
            // Nothing can be moved to a leaf of it before it is a domain of processes again.
            let enabled = try read("cgroup.subtree_control", of: parent).split(separator: " ").map(String.init)
            guard try control(parent, change("-", enabled)) else { return false }
            controllers += enabled.filter { !controllers.contains($0) }
        }
        // Before anything is enabled: with a process in it, the kernel refuses to pass memory and io on, but takes
        // the others, and makes the cgroup a domain of threads, in which no job can be.
        try vacate(parent)
        guard try control(parent, change("+", controllers)) else { return false }
        return try !isDomainOfThreads(parent)
    }

    /// - Returns: `false` where processes are in the way.
    private static func control(_ parent: CgroupDirectory, _ change: String) throws(CgroupError) -> Bool {
        do { try parent.write(change, to: "cgroup.subtree_control") } catch {
            guard error.errno == .resourceBusy else { throw CgroupError.writing(error, in: parent.path) }
            return false
        }
        return true
    }

    private static func change(_ sign: String, _ controllers: [String]) -> String {
        controllers.map { sign + $0 }.joined(separator: " ")
    }

    private static func read(_ file: String, of parent: CgroupDirectory) throws(CgroupError) -> String {
        do { return try parent.read(file) } catch { throw CgroupError(error) }
    }

    private static func undo(_ controllers: [Controller], in parent: CgroupDirectory) {
        // Jobs that are there may have their limits by them.
        let others = (try? parent.children()) ?? []
        guard !controllers.isEmpty, !others.contains(where: JobName.isJob) else { return }
        _ = try? control(parent, change("-", controllers.map(\.rawValue)))
    }

    /// Whether the processes in this cgroup share it with controllers that it passes on.
    ///
    /// - Throws: `.threaded` where no job can be made, whoever is moved.
    private static func isDomainOfThreads(_ parent: CgroupDirectory) throws(CgroupError) -> Bool {
        // The hierarchy's root has none, and may have processes in any case.
        guard parent.has("cgroup.type") else { return false }
        let type = try read("cgroup.type", of: parent)
        guard type != "domain" else { return false }
        let spreadsThreads = ((try? parent.children()) ?? []).contains { name in
            (try? parent.openChild(name).read("cgroup.type")) == "threaded"
        }
        guard type == "domain threaded", !spreadsThreads else {
            throw CgroupError(.threaded(path: parent.path, type: type))
        }
        return true
    }

    /// Whether `prepare` would change anything.
    static func needsChange(_ parent: CgroupDirectory, for limits: ResolvedLimits) throws(CgroupError) -> Bool {
        try needsChange(parent, missingControllers(for: limits, in: parent))
    }

    private static func needsChange(
        _ parent: CgroupDirectory, _ missing: [Controller]
    ) throws(CgroupError) -> Bool {
        // Not only where something is to be enabled: another program may have left such a cgroup.
        try isDomainOfThreads(parent) || !missing.isEmpty
    }

    /// Whether `prepare` could do its work here.
    static func checkPreparing(_ parent: CgroupDirectory) throws(CgroupError) {
        do { _ = try parent.open("cgroup.subtree_control", O_WRONLY) } catch {
            throw CgroupError.writing(error, in: parent.path)
        }
        try checkVacating(parent)
    }

    /// - Throws: when processes are in the way that may not be moved.
    private static func checkVacating(_ parent: CgroupDirectory) throws(CgroupError) {
        // The hierarchy's root is exempt from the rule.
        guard parent.has("cgroup.type"), !((try? parent.processes()) ?? []).isEmpty else { return }
        guard canVacate(parent) else { throw busy(parent) }
    }

    private static func canVacate(_ parent: CgroupDirectory) -> Bool {
        let user = ThisProcess.effectiveUserID
        let members = (try? parent.processes()) ?? []
        return isHandedOver(parent, to: user)
            && members.allSatisfy { $0 > 0 && (ProcessTable.owner($0) ?? user) == user }
    }

    private static func busy(_ parent: CgroupDirectory) -> CgroupError {
        let pids = (try? parent.processes()) ?? []
        var members = pids.prefix(3).map { "\($0) \(ProcessTable.commandName($0) ?? "?")" }
        if pids.count > 3 { members.append("and \(pids.count - 3) more") }
        return CgroupError(.busyParent(path: parent.path, members: members))
    }

    /// Moves the processes of a cgroup that is the caller's into a leaf of it.
    private static func vacate(_ parent: CgroupDirectory) throws(CgroupError) {
        guard parent.has("cgroup.type") else { return }
        do {
            let members = try parent.processes()
            guard !members.isEmpty else { return }
            do { try parent.makeChild(JobName.leaf) } catch  where error.errno == .fileExists {}
            let leaf = try parent.openChild(JobName.leaf)
            for pid in members {
                // One that ended meanwhile is out of the way, too.
                do { try leaf.write(String(pid), to: "cgroup.procs") } catch  where error.errno == .noSuchProcess {}
            }
        } catch { throw CgroupError.writing(error, in: parent.path) }
    }

    /// Whether the arrangement of this cgroup's inside is the caller's business: a job of
    /// cgrun's, a unit with `Delegate=`, a cgroup namespace's root, or a directory of one's own.
    private static func isHandedOver(_ directory: CgroupDirectory, to user: UInt32) -> Bool {
        if JobName.isJob(directory.path.split(separator: "/").last ?? "") { return true }
        if directory.isMarkedDelegated { return true }
        // The hierarchy's true root has no cgroup.type; a namespace's has.
        if directory.path == Hierarchies.root, directory.has("cgroup.type") { return true }
        return user != 0 && (try? directory.descriptor.identity().owner) == user
    }
}
