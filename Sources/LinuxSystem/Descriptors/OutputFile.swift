internal import CLinux
internal import Glibc
internal import SandboxValues
internal import SystemPackage

/// A place for a file that is written as a whole, later and perhaps by another process.
///
/// What the path leads to is found out once, without waiting for anybody, and stays open. Whoever changes the path or
/// the directory afterwards can spoil the file, but cannot have another file written.
package struct OutputFile: Sendable {
    /// What the descriptor stands for.
    package enum Form: Equatable, Sendable, Codable {
        /// A directory. A new file is written in it without a name, or with a temporary one, and then gets `name` in one
        /// step.
        ///
        /// If a file of root's or of this user's had the name, the new file gets exactly its `mode` (`isExact`); else
        /// the umask applies. `token` is a part of the temporary name that nobody else can guess.
        case replacement(name: String, mode: UInt32, isExact: Bool, token: String)
        /// A FIFO or a character device, which this type has opened; a new file cannot take its place.
        case opened
        /// A descriptor that the caller named. Writing begins at its present offset.
        case inherited
    }

    package let form: Form
    package let descriptor: SharedDescriptor

    /// Who writes: a process, and another process that finishes its work, may do so at the same time.
    package enum Writer: Sendable {
        case first
        /// The process that finishes the work. It removes the first one's temporary file, if there is one.
        case second
    }

    /// How long the reader of a FIFO or device may take for the whole file. A descriptor that the caller named has no
    /// such bound: the caller knows who reads from it, and when.
    private static let patience = Duration.seconds(5)

    // MARK: Finding it

    /// Finds out what a path leads to at the moment, and makes nothing yet.
    ///
    /// - Throws: why the file could not be written; better now than later.
    package init(_ path: String) throws(PathRefusal) {
        let place = try SafePath(path)
        if let number = place.ownDescriptor {
            try self.init(inherited: number)
            return
        }
        let kind = place.facts.map { Int32($0.st_mode) & S_IFMT } ?? S_IFREG
        switch kind {
        case S_IFREG:
            self.init(Self.replacement(of: place), SharedDescriptor(try Self.openDirectory(of: place)))
        case S_IFIFO, S_IFCHR:
            self.init(.opened, SharedDescriptor(try Self.openStream(place, kind)))
        default:
            throw PathRefusal("it is neither a file nor a FIFO nor a character device")
        }
    }

    /// Takes a descriptor that the caller named. Programs that this process starts do not get it, unless it is one of
    /// the standard streams, which they have as well.
    package init(inherited number: CInt) throws(PathRefusal) {
        guard fcntl(number, F_GETFL) & O_ACCMODE != O_RDONLY else {
            throw PathRefusal("it is open for reading only", accepted: "a descriptor that is open for writing")
        }
        do throws(SystemError) {
            if number > 2 { try InheritedDescriptor.keepPrivate(number) }
            self.init(.inherited, SharedDescriptor(try InheritedDescriptor.duplicate(number)))
        } catch {
            throw PathRefusal("\(error.errno)", accepted: "an open descriptor")
        }
    }

    /// Takes over what was found before, perhaps by another process.
    package init(_ form: Form, _ descriptor: SharedDescriptor) {
        self.form = form
        self.descriptor = descriptor
    }

    private static func replacement(of place: borrowing SafePath) -> Form {
        let token = Machine.randomHexadecimal()
        guard let facts = place.facts else {
            return .replacement(name: place.name, mode: 0o666, isExact: false, token: token)
        }
        // A file of somebody else's must not give the new file rights that the umask would withhold.
        let isTrusted = facts.st_uid == 0 || facts.st_uid == geteuid()
        return .replacement(
            name: place.name, mode: facts.st_mode & (isTrusted ? 0o777 : 0o666), isExact: isTrusted, token: token)
    }

    private static func openDirectory(of place: borrowing SafePath) throws(PathRefusal) -> Descriptor {
        guard faccessat(place.directory.rawValue, ".", W_OK | X_OK, AT_EACCESS) == 0 else {
            throw PathRefusal(errno: errno)
        }
        guard let facts = place.directory.facts else { throw PathRefusal(errno: errno) }
        // As a working directory can be.
        guard facts.st_nlink > 0 else { throw PathRefusal("its directory was removed") }
        // In a directory like /tmp, only root, the owner of the file and that of the directory may replace the file.
        let user = geteuid()
        if let file = place.facts, Int32(facts.st_mode) & S_ISVTX != 0, ![0, file.st_uid, facts.st_uid].contains(user) {
            throw PathRefusal(errno: EPERM)
        }
        do throws(SystemError) {
            // Opened once more, since fsync(2) needs more than O_PATH. A directory that may not be read goes without
            // fsync(2).
            let readable = openat(place.directory.rawValue, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            return readable >= 0 ? Descriptor(owning: readable) : try place.directory.duplicate()
        } catch {
            throw PathRefusal("\(error.errno)")
        }
    }

    /// Opens a FIFO or a character device without waiting for a reader: a FIFO without one is refused.
    private static func openStream(_ place: borrowing SafePath, _ kind: CInt) throws(PathRefusal) -> Descriptor {
        let result = openat(
            place.directory.rawValue, place.name, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC)
        guard result >= 0 else {
            if errno == ENXIO {
                throw PathRefusal("nobody reads from it", accepted: "a FIFO or device that somebody has open")
            }
            throw PathRefusal(errno: errno)
        }
        let stream = Descriptor(owning: result)
        guard let facts = stream.facts, Int32(facts.st_mode) & S_IFMT == kind else {
            throw PathRefusal("it is changing")
        }
        return stream
    }

    // MARK: Writing it

    /// Writes the whole file. SIGPIPE must be blocked or ignored.
    ///
    /// - Throws: why it could not be written. A file that had the name before still has it then.
    package func write(_ bytes: [UInt8], as writer: Writer = .first) throws(SystemError) {
        switch form {
        case .replacement(let name, let mode, let isExact, let token):
            let names = Self.temporaryNames(token)
            if writer == .second { unlinkat(directory, names.first, 0) }
            try replace(name, with: bytes, by: writer == .first ? names.first : names.second, mode, isExact: isExact)
        case .opened: try write(bytes, patience: Self.patience)
        case .inherited: try write(bytes, patience: nil)
        }
    }

    var directory: CInt { descriptor.descriptor.rawValue }

    static func sync(_ descriptor: CInt, _ path: String) throws(SystemError) {
        // Some filesystems cannot sync, and a directory that may not be read cannot either.
        if fsync(descriptor) != 0, ![EINVAL, ENOSYS, EOPNOTSUPP, EBADF].contains(errno) {
            throw SystemError("fsync", path: path, errno: .current)
        }
    }

    /// - Parameter patience: how long the reader may take; `nil` for as long as it likes.
    private func write(_ bytes: [UInt8], patience: Duration?) throws(SystemError) {
        let deadline: BootTime? = patience.map { .now + $0 }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = try descriptor.descriptor.writeSome(rest)
            rest = rest.dropFirst(count)
            guard count == 0 else { continue }
            var poller = Poller()
            poller.add(descriptor.descriptor.rawValue, for: .writing)
            let isReady = poller.wait(deadline.map { $0 - .now })[0]
            if !isReady, let deadline, deadline <= .now {
                throw SystemError("write", errno: .resourceTemporarilyUnavailable)
            }
        }
    }
}
