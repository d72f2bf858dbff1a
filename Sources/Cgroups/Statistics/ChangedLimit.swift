package import SandboxValues

/// A limit that somebody has changed since cgrun set it: a job of the same user may write its own control files.
package struct ChangedLimit: Sendable, Equatable {
    /// The path of the control file.
    package let file: String
    package let set: String
    /// What the file has now; `nil` where it is gone, and with it the limit.
    package let found: String?
}

extension JobCgroup {
    /// Compares limits that were set with what is there now. A cgroup that is gone tells of no change.
    package func changes(of limits: ResolvedLimits) -> [ChangedLimit] {
        let modern = limits.settings.filter { modernControllers.contains($0.controller.rawValue) }
        var changes = modern.compactMap { $0.change(in: directory) }
        for group in legacy {
            let settings = (try? group.parent.settings(for: limits)) ?? []
            changes += settings.compactMap { $0.change(in: group.directory) }
        }
        return changes
    }
}

extension CgroupSetting {
    fileprivate func change(in directory: CgroupDirectory) -> ChangedLimit? {
        let found = try? directory.read(file)
        if let found, shows(found) { return nil }
        // Kernels without swap accounting have no file for swap. What cannot be read is not known to be changed.
        if found == nil, directory.has(file) || kind == .swapMax || !directory.has("cgroup.procs") { return nil }
        return ChangedLimit(file: directory.path(of: file), set: value, found: found)
    }
}
