internal import CLinux
internal import Glibc
package import LinuxSystem
internal import SystemPackage

/// A cgroup, by an open descriptor of its directory: the only way to the
/// cgroup filesystems. Names are resolved beneath it and through no symbolic
/// link, so that a renamed or replaced path can redirect nothing.
///
/// Shared by a job, its siblings and its guard; closed, and its lock dropped, with the last reference.
package final class CgroupDirectory: Sendable {
    package let descriptor: Descriptor
    /// For messages; never used to open anything but the directory itself.
    package let path: String
    /// Whether this is a job's cgroup, or in one. A job of the same user may take rights away from them
    /// (`chmod 0`); this process gives them back.
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

    /// Takes over a descriptor that another process opened.
    convenience init(adopting rawValue: CInt, path: String, isOfJob: Bool = false) {
        self.init(Descriptor(owning: rawValue), path: path, isOfJob: isOfJob)
    }

    /// - Throws: when nobody can tell, as for want of descriptors.
    static func isCgroup2(_ path: String) throws(SystemError) -> Bool {
        do { return try Descriptor(opening: path, O_RDONLY | O_DIRECTORY).filesystemType == Kind.v2.rawValue } catch
            where [.noSuchFileOrDirectory, .notDirectory].contains(error.errno)
        { return false }
    }

    func path(of name: String) -> String { path == "/" ? "/\(name)" : "\(path)/\(name)" }

    // MARK: Control files

    package func open(_ file: String, _ flags: CInt) throws(SystemError) -> Descriptor {
        let result =
            isOfJob
            ? clinux_open_of_job(descriptor.rawValue, file, flags)
            : clinux_open_beneath(descriptor.rawValue, file, flags)
        guard result >= 0 else {
            throw SystemError("open", path: path(of: file), errno: Errno(rawValue: -result))
        }
        return Descriptor(owning: result)
    }

    /// The content without its final newline.
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

    package func has(_ file: String) -> Bool {
        faccessat(descriptor.rawValue, file, F_OK, 0) == 0
    }

    // MARK: Children

    package func openChild(_ name: String) throws(SystemError) -> CgroupDirectory {
        CgroupDirectory(try open(name, O_RDONLY | O_DIRECTORY), path: path(of: name), isOfJob: isOfJob)
    }

    /// Opens a child that is a job's.
    func openJob(_ name: String) throws(SystemError) -> CgroupDirectory {
        let result = clinux_open_of_job(descriptor.rawValue, name, O_RDONLY | O_DIRECTORY)
        guard result >= 0 else {
            throw SystemError("open", path: path(of: name), errno: Errno(rawValue: -result))
        }
        return CgroupDirectory(Descriptor(owning: result), path: path(of: name), isOfJob: true)
    }

    package func makeChild(_ name: String) throws(SystemError) {
        guard mkdirat(descriptor.rawValue, name, 0o755) == 0 else {
            throw SystemError("mkdir", path: path(of: name), errno: Errno(rawValue: errno))
        }
    }

    /// Removes a child and all cgroups below it, leaf first. One that is gone is no error.
    ///
    /// - Throws: `EBUSY` while a process is left in any of them.
    package func removeChild(_ name: String) throws(SystemError) {
        let result = clinux_remove_cgroup(descriptor.rawValue, name)
        guard result == 0 else {
            throw SystemError("rmdir", path: path(of: name), errno: Errno(rawValue: -result))
        }
    }

    /// The names of the cgroups directly below.
    package func children() throws(SystemError) -> [String] {
        // A descriptor of its own: reading moves the offset, which duplicates share.
        let listing = try open(".", O_RDONLY | O_DIRECTORY).giveUp()
        guard let stream = fdopendir(listing) else {
            let error = Errno(rawValue: errno)
            close(listing)
            throw SystemError("opendir", path: path, errno: error)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            guard entry.pointee.d_type == UInt8(DT_DIR) else { continue }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// Makes a child that nobody else can take for a leftover: its lock is held by whoever
    /// holds a duplicate of the returned directory.
    func makeLockedChild(_ name: String) throws(SystemError) -> CgroupDirectory {
        // A sweep may find the new directory before it is locked, and remove it: make it again, and
        // give the sweep time to finish, which on a busy machine may be a while.
        for attempt in 0..<100 {
            do { try makeChild(name) } catch  where error.errno == .fileExists {}
            do {
                let child = try openJob(name)
                // One that was removed has no files any more.
                if try child.descriptor.tryLock(), child.has("cgroup.procs") { return child }
            } catch {
                if error.errno != .noSuchFileOrDirectory {
                    // For want of a descriptor, say: what cannot be looked after must not stay.
                    try? removeChild(name)
                    throw error
                }
            }
            var pause = Poller()
            _ = pause.wait(.milliseconds(attempt))
        }
        throw SystemError("flock", path: path(of: name), errno: .resourceTemporarilyUnavailable)
    }

    // MARK: Members

    /// The processes directly in this cgroup, as pids of the caller's pid namespace (0: not visible in it).
    package func processes() throws(SystemError) -> [ProcessID] {
        try read("cgroup.procs").split(separator: "\n").compactMap { ProcessID($0) }
    }

    /// The processes in this cgroup and all below it.
    package func allProcesses() -> [ProcessID] {
        var result = (try? processes()) ?? []
        for name in (try? children()) ?? [] {
            if let child = try? openChild(name) { result += child.allProcesses() }
        }
        return result
    }

    /// Whether a manager has handed this cgroup over: systemd's mark on units with `Delegate=`.
    var isMarkedDelegated: Bool {
        var value: UInt8 = 0
        let marks: [String] = ["user.delegate", "trusted.delegate"]
        return marks.contains { mark in
            fgetxattr(descriptor.rawValue, mark, &value, 1) == 1 && value == UInt8(ascii: "1")
        }
    }
}
