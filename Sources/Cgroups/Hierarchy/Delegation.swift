internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// Passing controllers on to children, under cgroup v2's rule that a cgroup
/// which does so holds no processes itself.
enum Delegation {
    /// The controllers that these limits need, and that the parent does not pass on yet.
    ///
    /// - Throws: `.controllerMissing` for a controller that the parent does not have.
    static func missingControllers(
        for limits: ResolvedLimits, in parent: CgroupDirectory
    ) throws(CgroupError) -> [Controller] {
        let enabled = try read("cgroup.subtree_control", of: parent).split(separator: " ")
        let available = try read("cgroup.controllers", of: parent)
        var missing: [Controller] = []
        for setting in limits.settings {
            let controller = setting.controller
            guard !enabled.contains(controller.rawValue[...]), !missing.contains(controller) else { continue }
            guard available.split(separator: " ").contains(controller.rawValue[...]) else {
                throw CgroupError(
                    .controllerMissing(controller, limit: setting.limit, path: parent.path, available: available))
            }
            missing.append(controller)
        }
        return missing
    }

    static func text(_ controllers: [Controller]) -> String { change("+", controllers.map(\.rawValue)) }

    /// Makes a cgroup ready for jobs with these limits: it passes their controllers on, and has no processes
    /// itself where the kernel wants that.
    ///
    /// - Throws: why that is impossible. The controllers that were enabled for it are disabled again then.
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

    /// - Returns: whether jobs can be made there now; if not, a process has entered the parent meanwhile.
    private static func arrange(
        _ parent: CgroupDirectory, toPassOn controllers: inout [String]
    ) throws(CgroupError) -> Bool {
        try checkVacating(parent)
        if try isDomainOfThreads(parent) {
            // The kernel moves no process into a leaf of a domain of threads: make it a domain of processes first.
            let enabled = try read("cgroup.subtree_control", of: parent).split(separator: " ").map(String.init)
            guard try control(parent, change("-", enabled)) else { return false }
            controllers += enabled.filter { !controllers.contains($0) }
        }
        // Before anything is enabled: while a process is in the parent, the kernel refuses to pass memory and io on. It
        // does pass other controllers on, and so makes the parent a domain of threads, in which no job can be.
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
        // Other jobs in the parent may have limits that need these controllers.
        let others = (try? parent.children()) ?? []
        guard !controllers.isEmpty, !others.contains(where: JobName.isJob) else { return }
        _ = try? control(parent, change("-", controllers.map(\.rawValue)))
    }

    /// Whether this cgroup is a domain of threads, which it becomes by passing controllers on while it has processes.
    ///
    /// - Throws: `.threaded` where no job can be made, whichever processes are moved.
    private static func isDomainOfThreads(_ parent: CgroupDirectory) throws(CgroupError) -> Bool {
        // The hierarchy's root has no `cgroup.type`, and may pass controllers on while it has processes.
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
    ///
    /// - Parameter missing: what `missingControllers` says.
    static func needsChange(_ parent: CgroupDirectory, _ missing: [Controller]) throws(CgroupError) -> Bool {
        // Also where no controller has to be enabled: another program may have left a domain of threads.
        try isDomainOfThreads(parent) || !missing.isEmpty
    }

    /// Checks whether `prepare` could do its work here.
    ///
    /// - Throws: why it could not.
    static func checkPreparing(_ parent: CgroupDirectory) throws(CgroupError) {
        do { _ = try parent.open("cgroup.subtree_control", O_WRONLY) } catch {
            throw CgroupError.writing(error, in: parent.path)
        }
        try checkVacating(parent)
    }

    /// - Throws: when processes are in the way that may not be moved.
    private static func checkVacating(_ parent: CgroupDirectory) throws(CgroupError) {
        // The hierarchy's root, which has no `cgroup.type`, may pass controllers on while it has processes.
        guard parent.has("cgroup.type"), let members = try? parent.processes(), !members.isEmpty else { return }
        let user = ThisProcess.effectiveUserID
        guard isHandedOver(parent, to: user),
            members.allSatisfy({ $0 > 0 && (ProcessTable.owner($0) ?? user) == user })
        else { throw busy(parent) }
    }

    private static func busy(_ parent: CgroupDirectory) -> CgroupError {
        let pids = (try? parent.processes()) ?? []
        var members = pids.prefix(3).map { "\($0) \((ProcessTable.commandName($0) ?? "?").asName)" }
        if pids.count > 3 { members.append("and \(pids.count - 3) more") }
        return CgroupError(.busyParent(path: parent.path, members: members))
    }

    /// Moves the processes of a cgroup into a leaf below it.
    private static func vacate(_ parent: CgroupDirectory) throws(CgroupError) {
        guard parent.has("cgroup.type") else { return }
        do {
            let members = try parent.processes()
            guard !members.isEmpty else { return }
            do { try parent.makeChild(JobName.leaf) } catch  where error.errno == .fileExists {}
            let leaf = try parent.openChild(JobName.leaf)
            for pid in members {
                // A process that has ended meanwhile is out of the way, too.
                do { try leaf.write(String(pid), to: "cgroup.procs") } catch  where error.errno == .noSuchProcess {}
            }
        } catch { throw CgroupError.writing(error, in: parent.path) }
    }

    /// Whether the caller may arrange what is inside this cgroup: it is a job of cgrun's, a unit with `Delegate=`, the
    /// root of a cgroup namespace, or a directory that the caller, not being root, owns.
    private static func isHandedOver(_ directory: CgroupDirectory, to user: UInt32) -> Bool {
        if directory.isMarkedJob || directory.isMarkedDelegated { return true }
        // The hierarchy's root has no `cgroup.type`; that of a namespace below has one.
        if directory.path == Hierarchies.root, directory.has("cgroup.type") { return true }
        return user != 0 && directory.descriptor.owner == user
    }
}
