public import LinuxSystem
public import SandboxValues
internal import SystemPackage

/// Why a job's cgroup cannot be had as asked for. Each kind has a reason and a remedy of its own.
public struct CgroupError: Error, Sendable, Equatable {
    /// What is in the way.
    public enum Kind: Sendable, Equatable {
        /// There is no cgroup v2 hierarchy.
        case noCgroup2
        /// The caller's cgroup, or one that the caller named, is not in the part of the hierarchy that is mounted, as
        /// after entering a container without entering its cgroup.
        case outsideMount(path: String, mount: String)
        /// The cgroup belongs to a threaded subtree, over which threads of one process may be spread (`cgroup.type`):
        /// the kernel lets no job be in it.
        case threaded(path: String, type: String)
        /// There is no `cgroup.kill`, which needs Linux 5.14.
        case kernelTooOld(release: String)
        /// The cgroup filesystem is mounted read-only.
        case readOnly(path: String)
        /// This user may not make cgroups in this directory.
        case notDelegated(path: String, SystemError)
        /// Processes that cgrun may not move keep the parent from passing controllers on.
        case busyParent(path: String, members: [String])
        /// The parent does not have the controller that a limit needs.
        case controllerMissing(Controller, limit: LimitName, path: String, available: String)
        /// The caller may not make a child group in the hierarchy of this v1 controller.
        case legacyNotWritable(Controller, limit: LimitName, path: String)
        /// cgroup v1 cannot enforce this limit.
        case legacyUnsupported(limit: LimitName, reason: String)
        /// The control file is not there: the kernel is too old, or built without swap accounting.
        case knobMissing(file: String, limit: LimitName)
        /// A control file reads back as something else than what was written.
        case notApplied(file: String, wanted: String, got: String, limit: LimitName)
        /// The kernel refuses the value.
        case rejected(SystemError, limit: LimitName)
        /// What a limit on block I/O names is neither a disk of this machine nor on one.
        case noDisk(path: String, reason: String)
        /// There is no cgroup with this path.
        case parentNotFound(path: String)
        /// A cgroup above allows no more cgroups (`cgroup.max.descendants`, `cgroup.max.depth`).
        case tooManyCgroups(path: String)
        /// Any other system call that failed.
        case system(SystemError)
    }

    /// The case, for programs: texts may change.
    public var kind: Kind

    init(_ kind: Kind) { self.kind = kind }

    /// The error for a job's `cgroup.kill` that cannot be opened.
    public static func openingKillFile(_ error: SystemError) -> CgroupError {
        CgroupError(
            error.errno == .noSuchFileOrDirectory ? .kernelTooOld(release: Machine.kernelRelease) : .system(error))
    }

    init(_ error: SystemError) { kind = .system(error) }

    /// What is in the way, in one line.
    public var reason: String { reason(.library) }
    /// What to do about it; `nil` when nothing general can be said.
    public var remedy: String? { remedy(.library) }

    /// - Parameter wording: whether limits are called by their options.
    package func reason(_ wording: Wording) -> String {
        switch kind {
        case .noCgroup2: "no cgroup v2 hierarchy is mounted on /sys/fs/cgroup or /sys/fs/cgroup/unified"
        case .outsideMount(let path, let mount):
            "the cgroup \(path), as this cgroup namespace words it, is not to be found below \(mount)"
        case .threaded(let path, let type):
            "\(path) is \(type == "domain threaded" ? "the domain of threaded cgroups" : "a threaded cgroup") "
                + "(cgroup.type: \(type)), in which no job can be"
        case .kernelTooOld(let release): "this kernel (\(release)) has no cgroup.kill"
        case .readOnly(let path): "\(path) is mounted read-only"
        case .notDelegated(let path, let error):
            "no permission to make cgroups in \(path), which is not delegated to this user (\(error))"
        case .busyParent(let path, let members):
            "\(path) cannot pass on its controllers while other processes are in it (\(members.joined(separator: ", ")))"
        case .controllerMissing(let controller, let limit, let path, let available):
            "\(limit.text(wording)) needs the \(controller.rawValue) controller, which \(path) does not have "
                + "(it has: \(available.isEmpty ? "none" : available))"
        case .legacyNotWritable(let controller, let limit, let path):
            "\(limit.text(wording)) needs a child group of the v1 \(controller.rawValue) hierarchy, and \(path) is not writable"
        case .legacyUnsupported(let limit, let reason):
            "\(limit.text(wording)) cannot be enforced by cgroup v1: \(reason)"
        case .knobMissing(let file, let limit):
            "\(limit.text(wording)) needs \(file), which this kernel does not offer here"
        case .notApplied(let file, let wanted, let got, let limit):
            "\(limit.text(wording)): wrote \"\(wanted)\" to \(file), but it reads \"\(got)\""
        case .rejected(let error, let limit): "\(limit.text(wording)): the kernel refuses to \(error)"
        case .noDisk(let path, let reason): "\(LimitKind.ioMax.name.text(wording)) \(path): \(reason)"
        case .parentNotFound(let path): "there is no cgroup \(path)"
        case .tooManyCgroups(let path):
            "\(path) allows no more cgroups below it (cgroup.max.descendants or cgroup.max.depth)"
        case .system(let error): error.description
        }
    }

    /// - Parameter wording: as for `reason`.
    package func remedy(_ wording: Wording) -> String? {
        // How a cgroup is named that jobs are to be made in.
        let parent = wording.choose("cgroupParent", options: "--cgroup-parent")
        return switch kind {
        case .noCgroup2: "mount cgroup2, or boot with systemd.unified_cgroup_hierarchy=1"
        case .outsideMount:
            "enter a cgroup below it first, mount cgroup2 there anew in this cgroup namespace, or ask systemd "
                + "for a scope (\(wording.choose("HostScope.enter", options: "--cgroup-manager systemd")))"
        case .threaded:
            "run in another cgroup, or name one with \(parent)"
        case .kernelTooOld: "use Linux 5.14 or later"
        case .readOnly:
            "give the container a writable cgroup filesystem, such as docker run --privileged --cgroupns=private"
        case .notDelegated:
            "run as root, in a unit with Delegate=yes, or name a cgroup of yours with \(parent)"
        case .busyParent:
            "run in a unit with Delegate=yes, or name an empty cgroup with \(parent)"
        case .controllerMissing(let controller, _, let path, _)
        where path.split(separator: "/").contains(where: JobName.isJob):
            "give the job around this one \(controller.withoutLimit(wording)), which hands the controller down"
        case .controllerMissing(let controller, _, let path, _):
            "write +\(controller.rawValue) to cgroup.subtree_control of the cgroups above \(path), "
                + "or delegate it there (Delegate=\(controller.rawValue))"
        case .legacyNotWritable: "run as root, or boot with systemd.unified_cgroup_hierarchy=1"
        case .legacyUnsupported: "boot with systemd.unified_cgroup_hierarchy=1 for cgroup v2"
        case .knobMissing(let file, _):
            file.contains("swap") || file.contains("memsw")
                ? "boot with swapaccount=1, or turn swap off" : "use a later kernel"
        case .notApplied(_, _, _, let limit), .rejected(_, let limit):
            "give \(limit.text(wording)) a value within what this machine and the cgroups above allow"
        case .noDisk: "name a block device, or a path on one"
        case .parentNotFound: "make it first, or give \(parent) a path as in /proc/PID/cgroup"
        case .tooManyCgroups: "raise the limit there, or end some jobs"
        case .system(let error): error.remedy
        }
    }

    /// The error for a limit that cannot be written or read back.
    static func setting(_ error: SystemError, _ file: String, limit: LimitName, in path: String) -> CgroupError {
        switch error.errno {
        case .noSuchFileOrDirectory: CgroupError(.knobMissing(file: file, limit: limit))
        case .invalidArgument, .outOfRange: CgroupError(.rejected(error, limit: limit))
        default: writing(error, in: path)
        }
    }

    /// The error for something that cannot be made or written in `path`.
    static func writing(_ error: SystemError, in path: String) -> CgroupError {
        switch error.errno {
        case .readOnlyFileSystem: CgroupError(.readOnly(path: path))
        case .permissionDenied: CgroupError(.notDelegated(path: path, error))
        case .resourceTemporarilyUnavailable where error.operation == "mkdir": CgroupError(.tooManyCgroups(path: path))
        default: CgroupError(error)
        }
    }
}

extension Controller {
    /// What asks for this controller and limits nothing.
    fileprivate func withoutLimit(_ wording: Wording) -> String {
        switch self {
        case .cpuset: wording.choose("a cpuset with all processors", options: "--cpuset with all processors")
        case .cpu: wording.choose("a cpuMax of max", options: "--cpu max")
        case .io: wording.choose("an ioMax with a rate of max", options: "--io-max with a rate of max")
        case .memory: wording.choose("a memoryMax of max", options: "--mem max")
        case .pids: wording.choose("a pidsMax of max", options: "--pids max")
        }
    }
}
