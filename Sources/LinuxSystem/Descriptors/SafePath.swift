internal import CLinux
internal import Glibc

/// Where the path of a file leads, which need not exist yet. The path is walked name by name, so that a link of some
/// user's can lead only to what belongs to this user. Otherwise a user whose directory a program of root's writes into,
/// or who can write to /tmp, could make the program write anywhere else.
///
/// Trusted owners are root, this process's effective user, and the owner of `/`, who stands for these two where a user
/// namespace does not map them. The first other owner on the walk is the stranger. From there on, a link must belong to
/// the stranger, and must lead through directories of the stranger's alone. As long as no such link was followed,
/// directories may belong to anybody: the path itself names them.
struct SafePath: ~Copyable {
    /// The directory that `name` is in, opened with O_PATH: it stays the same directory when somebody renames it.
    let directory: Descriptor
    /// The last name of the path. What has this name, if anything does, is neither a directory nor a link.
    let name: String
    /// The facts of what has the name; `nil` when nothing has it.
    let facts: stat?
    /// The descriptor of this process that the path stands for, as `/dev/stdout` and `/dev/fd/63` do; `nil` for any
    /// other path.
    let ownDescriptor: CInt?

    /// - Throws: when the directory does not exist, when the path leads to a directory, and when it leads where it may
    ///   not.
    init(_ path: String) throws(PathRefusal) {
        var walk = Walk()
        var directory = try walk.start(of: path)
        // In reverse, so that the next name is the last element. An empty name, after a slash at the end, demands a
        // directory.
        var rest = Self.names(of: path)
        while let name = rest.popLast() {
            if name.isEmpty || name == "." { continue }
            if let opened = Self.handle(name, in: directory.rawValue, O_DIRECTORY) {
                directory = opened
                try walk.enter(directory)
                continue
            }
            guard errno == ENOTDIR || errno == ENOENT && rest.isEmpty else { throw PathRefusal(errno: errno) }
            var facts: stat?
            if errno == ENOTDIR, let file = Self.handle(name, in: directory.rawValue) {
                facts = file.facts
                if let facts, Int32(facts.st_mode) & S_IFMT == S_IFLNK {
                    try walk.follow(facts.st_uid)
                    if let number = Self.ownDescriptor(name, in: directory) {
                        self.init(directory: directory, name: name, facts: nil, ownDescriptor: number)
                        return
                    }
                    let target = try Self.target(of: file, called: name, in: directory)
                    if target.hasPrefix("/") {
                        directory = try walk.start(of: target)
                    } else {
                        try walk.enter(directory)
                    }
                    rest += Self.names(of: target)
                    continue
                }
            }
            guard rest.isEmpty else { throw PathRefusal(errno: ENOTDIR) }
            guard directory.filesystemType != Self.procfs else {
                throw PathRefusal("there is no such descriptor", accepted: "an open descriptor in /dev/fd")
            }
            self.init(directory: directory, name: name, facts: facts, ownDescriptor: nil)
            return
        }
        throw PathRefusal(errno: EISDIR)
    }

    private init(directory: consuming Descriptor, name: String, facts: stat?, ownDescriptor: CInt?) {
        self.directory = directory
        (self.name, self.facts, self.ownDescriptor) = (name, facts, ownDescriptor)
    }

    private static func names(of path: String) -> [String] {
        path.split(separator: "/", omittingEmptySubsequences: false).reversed().map(String.init)
    }

    /// Opens a handle of what has the name; of a link, not of its target. `nil`, with the reason in `errno`, where there
    /// is no such thing.
    private static func handle(_ name: String, in directory: CInt, _ flags: CInt = 0) -> Descriptor? {
        let result = openat(directory, name, CLINUX_O_PATH | O_NOFOLLOW | O_CLOEXEC | flags)
        return result < 0 ? nil : Descriptor(owning: result)
    }

    /// PROC_SUPER_MAGIC.
    private static let procfs: Int64 = 0x9fa0

    /// The descriptor of this process that a link in `/proc/self/fd` stands for. The text of such a link does not say:
    /// what is open may have no path, or none any more.
    private static func ownDescriptor(_ name: String, in directory: borrowing Descriptor) -> CInt? {
        guard directory.filesystemType == procfs, let place = directory.facts else { return nil }
        var own = stat()
        guard stat("/proc/self/fd", &own) == 0, own.st_ino == place.st_ino, own.st_dev == place.st_dev else {
            return nil
        }
        return CInt(name)
    }

    /// The target of a link.
    private static func target(
        of link: borrowing Descriptor, called name: String, in directory: borrowing Descriptor
    ) throws(PathRefusal) -> String {
        // All links in /proc but these two lead to what processes have open, whatever their text says.
        guard directory.filesystemType != procfs || name == "self" || name == "thread-self" else {
            throw PathRefusal("\(name) is what a process has open", accepted: "an open descriptor in /dev/fd")
        }
        guard let target = readLink("", in: link.rawValue) else { throw PathRefusal(errno: ENOENT) }
        return target
    }

    /// Which owners have decided so far where the path leads.
    private struct Walk {
        /// The first owner that is not trusted.
        private var stranger: UInt32?
        /// Whether a link of the stranger's was followed: what it leads to must be the stranger's.
        private var isLed = false
        private var linkCount = 0

        /// The number of links that the kernel follows in a path.
        private static let mostLinks = 40

        mutating func start(of path: String) throws(PathRefusal) -> Descriptor {
            guard let directory = SafePath.handle(path.hasPrefix("/") ? "/" : ".", in: AT_FDCWD, O_DIRECTORY) else {
                throw PathRefusal(errno: errno)
            }
            try enter(directory)
            return directory
        }

        mutating func enter(_ directory: borrowing Descriptor) throws(PathRefusal) {
            guard let owner = directory.owner else { throw PathRefusal(errno: errno) }
            if isLed { try demandStranger(owner) }
            note(owner)
        }

        mutating func follow(_ owner: UInt32) throws(PathRefusal) {
            linkCount += 1
            guard linkCount <= Self.mostLinks else { throw PathRefusal(errno: ELOOP) }
            try demandStranger(owner)
            note(owner)
            isLed = stranger != nil
        }

        private mutating func note(_ owner: UInt32) {
            if stranger == nil, !Self.isTrusted(owner) { stranger = owner }
        }

        private func demandStranger(_ owner: UInt32) throws(PathRefusal) {
            guard let stranger, owner != stranger else { return }
            throw PathRefusal(
                "it leads from what belongs to user \(stranger) to what belongs to user \(owner)",
                accepted: "a path whose links and directories are root's or your own")
        }

        private static func isTrusted(_ owner: UInt32) -> Bool {
            if owner == 0 || owner == geteuid() { return true }
            var root = stat()
            return stat("/", &root) == 0 && owner == root.st_uid
        }
    }
}
