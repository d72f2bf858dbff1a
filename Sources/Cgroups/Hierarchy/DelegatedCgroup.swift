internal import Glibc
package import LinuxSystem
package import SandboxValues
internal import SystemPackage

/// The cgroup of a delegated scope: a manager made it, and this process arranges what is inside.
package struct DelegatedCgroup: ~Copyable {
    private let directory: CgroupDirectory

    /// - Parameter path: as in `/proc/PID/cgroup`.
    package init(_ path: String, in layout: Hierarchies) throws(CgroupError) {
        let path = try layout.absolute(path)
        do { directory = try CgroupDirectory(opening: path, .v2) } catch { throw CgroupError(error) }
    }

    /// Removes the cgroup of a unit that is gone: systemd leaves a cgroup behind if a process in it was still ending.
    package static func removeLeftover(_ path: String, in layout: Hierarchies) {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex,
            let slice = try? CgroupDirectory(opening: layout.absolute(String(path[..<slash])), .v2)
        else { return }
        try? slice.removeChild(String(path[path.index(after: slash)...]))
    }

    /// Moves processes into a leaf: a cgroup that passes controllers on may have no processes of its own.
    package func setAside(_ pids: [ProcessID]) throws(CgroupError) {
        do {
            do { try directory.makeChild(JobName.leaf) } catch  where error.errno == .fileExists {}
            let leaf = try directory.openChild(JobName.leaf)
            for pid in pids { try leaf.write(String(pid), to: "cgroup.procs") }
        } catch { throw CgroupError.writing(error, in: directory.path) }
    }

    /// Passes on all controllers that the scope has, so that jobs inside the job can be limited, too.
    package func passControllersOn() throws(CgroupError) {
        do {
            let available = try directory.read("cgroup.controllers").split(separator: " ")
            let known = available.compactMap { Controller(rawValue: String($0)) }
            guard !known.isEmpty else { return }
            try directory.write(Delegation.text(known), to: "cgroup.subtree_control")
        } catch { throw CgroupError.writing(error, in: directory.path) }
    }

    /// Writes limits for all that is in the scope, and reads each back.
    package func apply(_ limits: ResolvedLimits) throws(CgroupError) {
        _ = try Delegation.missingControllers(for: limits, in: directory)
        try limits.apply(to: directory)
    }

    /// Makes sure that something which a manager was to set is in effect here.
    ///
    /// - Parameters:
    ///   - files: those that may have it; where there are any, one must be there.
    ///   - text: what the file then says; `nil`: that is not known.
    ///   - name: what asked for it, for errors.
    package func check(
        _ controller: Controller, _ files: [String], _ text: String?, for name: LimitName
    ) throws(CgroupError) {
        let available: String
        do { available = try directory.read("cgroup.controllers") } catch { throw CgroupError(error) }
        guard available.split(separator: " ").contains(Substring(controller.rawValue)) else {
            throw CgroupError(.controllerMissing(controller, limit: name, path: directory.path, available: available))
        }
        guard let first = files.first else { return }
        guard let file = files.first(where: directory.has) else {
            throw CgroupError(.knobMissing(file: first, limit: name))
        }
        guard let text, let got = try? directory.read(file), got != text else { return }
        throw CgroupError(.notApplied(file: directory.path(of: file), wanted: text, got: got, limit: name))
    }

    /// Opens `cgroup.kill`, by which everything in the scope dies.
    package func openKillFile() throws(SystemError) -> Descriptor { try directory.open("cgroup.kill", O_WRONLY) }

    /// A duplicate of the directory's descriptor.
    package func duplicate() throws(SystemError) -> Descriptor { try directory.descriptor.duplicate() }

    /// Reads back the CPU weight, which the manager has set on the scope: it decides about the scope's share among its
    /// siblings, and would mean nothing on a cgroup below.
    package func checkWeight(_ limits: ResolvedLimits) throws(CgroupError) {
        try limits.settings.first { $0.kind == .cpuWeight }?.check(in: directory)
    }
}
