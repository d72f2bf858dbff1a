internal import CLinux
internal import Glibc
package import LinuxSystem
internal import SystemPackage

/// A cgroup, as an open descriptor of its directory. The library reaches the cgroup filesystems only through this type,
/// which resolves names beneath the directory and follows no symbolic link: nobody can redirect it by renaming or
/// replacing a path.
///
/// A job, its siblings and the connection to the guard may share a directory. The last reference closes the descriptor,
/// and drops the lock that was taken with it.
package final class CgroupDirectory: Sendable {
    package let descriptor: Descriptor
    /// The path of the directory, for messages. Nothing but the directory itself is ever opened by it.
    package let path: String
    /// Whether this is a job's cgroup, or inside one. A job of the same user may take away the rights to its
    /// directories (`chmod 0`); this process gives them back.
    private let isOfJob: Bool

    private init(_ descriptor: consuming Descriptor, path: String, isOfJob: Bool = false) {
        self.descriptor = descriptor
        self.path = path
        self.isOfJob = isOfJob
    }

    enum Kind: Int64 {
        case v2 = 0x6367_7270
        case v1 = 0x0027_e0eb
    }

    /// - Throws: `ENOTSUP` when the path is not in a cgroup filesystem of this kind.
    convenience init(opening path: String, _ kind: Kind) throws(SystemError) {
        let descriptor = try Descriptor(opening: path, O_RDONLY | O_DIRECTORY)
        guard descriptor.filesystemType == kind.rawValue else {
            throw SystemError("open", path: path, errno: .notSupported)
        }
        self.init(descriptor, path: path)
    }

    /// Opens the cgroup of a service, to look at it.
    package convenience init(openingService path: String) throws(SystemError) { try self.init(opening: path, .v2) }

    /// Takes over a descriptor that another process has opened.
    convenience init(adopting rawValue: CInt, path: String, isOfJob: Bool = false) {
        self.init(Descriptor(owning: rawValue), path: path, isOfJob: isOfJob)
    }

    /// Whether the path is a directory of cgroup v2; `false` where there is no directory.
    ///
    /// - Throws: when that cannot be found out, as without a free descriptor.
    static func isCgroup2(_ path: String) throws(SystemError) -> Bool {
        do { return try Descriptor(opening: path, O_RDONLY | O_DIRECTORY).filesystemType == Kind.v2.rawValue } catch
            where [.noSuchFileOrDirectory, .notDirectory].contains(error.errno)
        { return false }
    }

    func path(of name: String) -> String { path == "/" ? "/\(name)" : "\(path)/\(name)" }

    // MARK: Control files

    package func open(_ file: String, _ flags: CInt) throws(SystemError) -> Descriptor {
        try open(file, flags, isOfJob: isOfJob)
    }

    private func open(_ file: String, _ flags: CInt, isOfJob: Bool) throws(SystemError) -> Descriptor {
        let open = isOfJob ? clinux_open_of_job : clinux_open_beneath
        return Descriptor(owning: try check(open(descriptor.rawValue, file, flags), "open", path: path(of: file)))
    }

    /// Reads a whole control file, without its final newline.
    package func read(_ file: String) throws(SystemError) -> String {
        var text = try open(file, O_RDONLY).readAll(path: path(of: file))
        if text.last == "\n" { text.removeLast() }
        return text
    }

    package func write(_ value: String, to file: String) throws(SystemError) {
        let opened: Descriptor
        do { opened = try open(file, O_WRONLY) } catch {
            throw SystemError("write", path: path(of: file), value: value, errno: error.errno)
        }
        try opened.write(value, path: path(of: file))
    }

    package func has(_ file: String) -> Bool { faccessat(descriptor.rawValue, file, F_OK, 0) == 0 }

    // MARK: Children

    package func openChild(_ name: String) throws(SystemError) -> CgroupDirectory {
        CgroupDirectory(try open(name, O_RDONLY | O_DIRECTORY), path: path(of: name), isOfJob: isOfJob)
    }

    /// Opens a child that is the cgroup of a job.
    func openJob(_ name: String) throws(SystemError) -> CgroupDirectory {
        let opened = try open(name, O_RDONLY | O_DIRECTORY, isOfJob: true)
        return CgroupDirectory(opened, path: path(of: name), isOfJob: true)
    }

    package func makeChild(_ name: String, mode: UInt32 = 0o755) throws(SystemError) {
        try checkErrno(mkdirat(descriptor.rawValue, name, mode), "mkdir", path: path(of: name))
    }

    /// Removes a child and all cgroups below it, leaf first. A child that is gone is no error.
    ///
    /// - Throws: `EBUSY` while a process is left in any of them.
    package func removeChild(_ name: String) throws(SystemError) {
        _ = try check(clinux_remove_cgroup(descriptor.rawValue, name), "rmdir", path: path(of: name))
    }

    /// As `removeChild`, for the cgroup of a job, also if the job has renamed it, as cgroup v1 allows.
    func removeJob(_ name: String, _ job: CgroupDirectory) throws(SystemError) {
        _ = try check(
            clinux_remove_job(descriptor.rawValue, name, job.descriptor.rawValue), "rmdir", path: path(of: name))
    }

    /// The names of the cgroups directly below.
    package func children() throws(SystemError) -> [String] {
        // Opened anew: reading moves the offset, which a duplicate would share with `descriptor`.
        try listing(open(".", O_RDONLY | O_DIRECTORY), path: path) { $0 == CInt(DT_DIR) }
    }

    /// Makes the cgroup of a job and locks it, so that no sweep takes it for a leftover. The lock lasts as long as anybody
    /// has the returned directory, or a duplicate of it, open.
    func makeJob(_ name: String) throws(SystemError) -> CgroupDirectory {
        // A sweep may find the new directory before it is locked, and remove it. Then make it again, and give the sweep
        // time to finish, which on a busy machine may be a while.
        for attempt in 0..<100 {
            do { try makeChild(name, mode: 0o1755) } catch  where error.errno == .fileExists {}
            do throws(SystemError) {
                let job = try openJob(name)
                // A directory that a sweep has removed meanwhile has no files.
                if try job.descriptor.tryLock(), job.has("cgroup.procs") {
                    try job.mark(as: JobName.isService(name) ? Self.serviceMark : "1")
                    return job
                }
            } catch {
                if error.errno != .noSuchFileOrDirectory {
                    // For example, there is no free descriptor. A cgroup that nobody can look after must not stay.
                    try? removeChild(name)
                    throw error
                }
            }
            Poller.pause(.milliseconds(attempt))
        }
        throw SystemError("flock", path: path(of: name), errno: .resourceTemporarilyUnavailable)
    }

    /// Takes the lock that `makeJob` takes.
    ///
    /// - Throws: `EBUSY` when somebody else still has it after this time.
    func lock(within bound: Duration) throws(SystemError) {
        let deadline = BootTime.now + bound
        while try !descriptor.tryLock() {
            guard deadline > .now else { throw SystemError("flock", path: path, errno: .resourceBusy) }
            Poller.pause(.milliseconds(10))
        }
    }

    // cgrun knows its own cgroups by two marks, since anybody may choose a name that looks like a job's. The sticky bit is
    // there from the beginning, also if the launcher is lost in the next instant. The extended attribute stays when the
    // job changes the mode.

    private static let jobMark = "user.cgrun.job"

    /// What the attribute of a service's cgroup says. Nobody may sweep a service, also if it has renamed its v1 groups.
    private static let serviceMark = "service"

    private func mark(as text: String) throws(SystemError) {
        try checkErrno(
            fsetxattr(descriptor.rawValue, Self.jobMark, text, text.utf8.count, 0), "setxattr", path: path)
    }

    /// Whether cgrun has made this cgroup for a service.
    var isMarkedService: Bool { attribute(Self.jobMark) == Self.serviceMark }

    /// Whether cgrun has made this cgroup for a job.
    var isMarkedJob: Bool { descriptor.isSticky || fgetxattr(descriptor.rawValue, Self.jobMark, nil, 0) >= 0 }

    private static let noteMark = "user.cgrun.note"

    /// Keeps a text at this cgroup for as long as it exists.
    func setNote(_ text: String) { _ = fsetxattr(descriptor.rawValue, Self.noteMark, text, text.utf8.count, 0) }

    var note: String? { attribute(Self.noteMark) }

    private func attribute(_ name: String) -> String? {
        var bytes = [UInt8](repeating: 0, count: 256)
        let size = fgetxattr(descriptor.rawValue, name, &bytes, bytes.count)
        return size < 0 ? nil : String(decoding: bytes[..<size], as: UTF8.self)
    }

    // MARK: Members

    /// The processes directly in this cgroup, as pids of the caller's pid namespace (0: not visible in it).
    package func processes() throws(SystemError) -> [ProcessID] {
        try read("cgroup.procs").split(separator: "\n").compactMap { ProcessID($0) }
    }

    /// The processes in this cgroup and in all below it, as far as they can be read.
    package func allProcesses() -> [ProcessID] {
        var result = (try? processes()) ?? []
        for name in (try? children()) ?? [] {
            if let child = try? openChild(name) { result += child.allProcesses() }
        }
        return result
    }

    /// Whether a manager has handed this cgroup over: systemd marks the cgroups of units with `Delegate=`.
    var isMarkedDelegated: Bool {
        var value: UInt8 = 0
        let marks: [String] = ["user.delegate", "trusted.delegate"]
        return marks.contains { mark in
            fgetxattr(descriptor.rawValue, mark, &value, 1) == 1 && value == UInt8(ascii: "1")
        }
    }
}
