internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import SystemPackage

/// How the paths of `/proc/PID/cgroup` lead to directories below a mount point.
///
/// The paths begin at the root of the reader's cgroup namespace. A mount may begin elsewhere: above this root where a
/// namespace was made without a mount of its own (`unshare --cgroup`), below it where a part of the hierarchy was
/// bind-mounted, as container engines do. Whoever confused the two beginnings would put jobs into the cgroup of
/// somebody else, outside of all limits of the caller.
struct CgroupMount: Sendable, Equatable {
    let point: String
    /// Where the mount begins, seen from the namespace's root: so many levels up, then down by these names.
    private let levelsAbove: Int
    private let namesBelow: [String]
    /// The names that lead from the mount's beginning down to the namespace's root, as far as they are known.
    private var namesOnTheWay: [String] = []

    /// - Parameter root: where the mount begins, as the fourth field of `/proc/self/mountinfo` has it.
    init(_ point: String, root: String = "/") {
        self.point = point
        (levelsAbove, namesBelow) = Self.resolve(root)
    }

    /// Looks up where the mount begins.
    ///
    /// - Parameter own: the caller's path in this hierarchy, as in `/proc/self/cgroup`.
    /// - Throws: when the kernel does not tell.
    init(_ point: String, _ kind: CgroupDirectory.Kind, own: String) throws(SystemError) {
        let directory = try CgroupDirectory(opening: point, kind)
        // On most machines two cheap questions are enough: whether the mount begins at the top of the hierarchy, and
        // whether this process is in the first namespace. The table of mounts may have thousands of lines.
        if directory.descriptor.inode == Self.inodeOfHierarchy,
            readLink("/proc/self/ns/cgroup") == Self.firstNamespace
        {
            self.init(point)
            return
        }
        self.init(point, root: try Self.root(of: directory))
        let (levels, names) = Self.resolve(own)
        guard namesBelow.isEmpty, levels < levelsAbove else { return }
        // The kernel does not name the cgroups above a namespace's root. But one of their `cgroup.procs` lists this
        // process.
        let found = Self.find(
            ThisProcess.id, below: directory, [String?](repeating: nil, count: levelsAbove - levels) + names)
        namesOnTheWay = Array((found ?? []).prefix(levelsAbove - levels))
    }

    /// The inode number of the top directory, which is the same in every hierarchy.
    private static let inodeOfHierarchy: UInt = 1
    /// The namespace that the machine was booted with (PROC_CGROUP_INIT_INO).
    private static let firstNamespace = "cgroup:[4026531835]"

    /// The path of a cgroup from the mount point on.
    ///
    /// - Parameter path: as in `/proc/PID/cgroup`.
    /// - Returns: `nil` if the cgroup is not below the mount point, or if its place there cannot be found out.
    func locate(_ path: String) -> String? {
        let (levels, names) = Self.resolve(path)
        let hidden = levelsAbove - levels
        let location: [String]
        if hidden == 0, names.starts(with: namesBelow) {
            location = Array(names.dropFirst(namesBelow.count))
        } else if hidden > 0, namesBelow.isEmpty, hidden <= namesOnTheWay.count {
            location = namesOnTheWay.prefix(hidden) + names
        } else {
            return nil
        }
        // Not `joined`: its first call in a process costs more than all else here.
        return location.isEmpty ? "/" : location.reduce("") { path, name in path + "/" + name }
    }

    /// Takes a path apart: `/../a/b` is one level up, and `a`, `b` from there down.
    private static func resolve(_ path: String) -> (levelsUp: Int, names: [String]) {
        var levels = 0
        var names: [String] = []
        for name in path.split(separator: "/") where name != "." {
            if name != ".." {
                names.append(String(name))
            } else if names.popLast() == nil {
                levels += 1
            }
        }
        return (levels, names)
    }

    // MARK: Looking it up

    private static func root(of directory: CgroupDirectory) throws(SystemError) -> String {
        let table = "/proc/self/mountinfo"
        let number = clinux_mount_id(directory.descriptor.rawValue)
        guard number >= 0, let root = root(ofMount: number, in: try readTextFile(table)) else {
            throw SystemError("read", path: table, value: directory.path, errno: .noData)
        }
        return root
    }

    /// - Parameter table: the content of `/proc/self/mountinfo`.
    static func root(ofMount number: Int64, in table: String) -> String? {
        for line in table.split(separator: "\n") {
            let fields = line.split(separator: " ", maxSplits: 4)
            if fields.count == 5, Int64(fields[0]) == number { return unescaped(fields[3]) }
        }
        return nil
    }

    /// The kernel writes blanks and backslashes of names as three octal digits.
    private static func unescaped(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Substring(field).utf8
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), let code = UInt8(Substring(rest.prefix(3)), radix: 8) {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The names that lead down to the cgroup that a process is in.
    ///
    /// - Parameter way: the name at each level; `nil` where any name will do.
    private static func find(
        _ pid: ProcessID, below directory: CgroupDirectory, _ way: some Collection<String?>
    ) -> [String]? {
        guard let next = way.first else {
            return (try? directory.processes())?.contains(pid) == true ? [] : nil
        }
        for name in next.map({ [$0] }) ?? (try? directory.children()) ?? [] {
            if let child = try? directory.openChild(name), let rest = find(pid, below: child, way.dropFirst()) {
                return [name] + rest
            }
        }
        return nil
    }
}
