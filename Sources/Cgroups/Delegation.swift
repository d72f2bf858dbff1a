internal import Glibc
internal import LinuxSystem
internal import SystemPackage

/// Passing controllers on to children, under cgroup v2's rule that a cgroup
/// which does so holds no processes itself.
enum Delegation {
    static func missingControllers(
        for limits: Limits, in parent: CgroupDirectory
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
                        setting.controller, option: setting.option, path: parent.path, available: available))
            }
            missing.append(setting.controller)
        }
        return missing
    }

    static func text(_ controllers: [Controller]) -> String {
        controllers.map { "+" + $0.rawValue }.joined(separator: " ")
    }

    static func enableControllers(
        for limits: Limits, in parent: CgroupDirectory
    ) throws(CgroupError) {
        let missing = try missingControllers(for: limits, in: parent)
        guard !missing.isEmpty else { return }
        // A process may be forked into the parent between moving and enabling.
        for attempt in 1... {
            do {
                try parent.write(text(missing), to: "cgroup.subtree_control")
                return
            } catch {
                guard error.errno == .resourceBusy, attempt < 10 else {
                    throw error.errno == .resourceBusy
                        ? busy(parent) : CgroupError.writing(error, in: parent.path)
                }
                try vacate(parent)
            }
        }
    }

    /// Whether `enableControllers` could do its work here.
    static func checkEnabling(in parent: CgroupDirectory) throws(CgroupError) {
        do { _ = try parent.open("cgroup.subtree_control", O_WRONLY) } catch {
            throw CgroupError.writing(error, in: parent.path)
        }
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
        guard canVacate(parent) else { throw busy(parent) }
        do {
            do { try parent.makeChild(JobName.leaf) } catch  where error.errno == .fileExists {}
            let leaf = try parent.openChild(JobName.leaf)
            for pid in try parent.processes() {
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
        if directory.path == CgroupLayout.root, directory.has("cgroup.type") { return true }
        return user != 0 && (try? directory.descriptor.identity().owner) == user
    }
}
