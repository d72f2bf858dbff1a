internal import CLinux
internal import Glibc
internal import SystemPackage

/// An open file descriptor with one owner; closed when the owner ends.
package struct Descriptor: ~Copyable, Sendable {
    package let rawValue: CInt

    /// Takes over `rawValue`, which nothing else may close from now on.
    package init(owning rawValue: CInt) { self.rawValue = rawValue }

    deinit { close(rawValue) }

    /// Opens a path that is not below a directory handle. Close-on-exec is always set.
    package init(opening path: String, _ flags: CInt, mode: UInt32 = 0) throws(SystemError) {
        rawValue = try check(clinux_open(path, flags, mode), "open", path: path)
    }

    /// Connects to a Unix socket, without waiting: `EAGAIN` when nobody gets round to accepting.
    package init(connectingTo path: String) throws(SystemError) {
        rawValue = try check(clinux_connect(path), "connect", path: path)
    }

    /// Leaves the closing to somebody else.
    package consuming func giveUp() -> CInt {
        let descriptor = rawValue
        discard self
        return descriptor
    }

    package func duplicate() throws(SystemError) -> Descriptor { try InheritedDescriptor.duplicate(rawValue) }

    /// Reads from the start; for files that the kernel makes up on each read.
    package func readAll(path: @autoclosure () -> String) throws(SystemError) -> String {
        var bytes: [UInt8] = []
        var offset: off_t = 0
        while true {
            let room = offset == 0 ? 1024 : 65536
            var size = 0
            bytes.reserveCapacity(bytes.count + room)
            let chunk = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
                size = pread(rawValue, buffer.baseAddress, room, offset)
                count = max(size, 0)
            }
            if size < 0 {
                if errno == EINTR { continue }
                throw SystemError("read", path: path(), errno: Errno.current)
            }
            bytes += chunk
            offset += off_t(size)
            // The kernel hands such files out in pages, so that only a first, small read that is not
            // filled tells their end.
            if size == 0 || offset < room && room == 1024 { return String(decoding: bytes, as: UTF8.self) }
        }
    }

    package func write(
        _ text: String, path: @autoclosure () -> String
    ) throws(SystemError) {
        try write(Array(text.utf8), path: path(), value: text.count <= 80 ? text : nil)
    }

    package func write(
        _ bytes: [UInt8], path: @autoclosure () -> String, value: @autoclosure () -> String? = nil
    ) throws(SystemError) {
        var rest = bytes[...]
        repeat {
            let size = rest.withUnsafeBytes {
                $0.baseAddress.map { base in clinux_write(rawValue, base, rest.count) } ?? 0
            }
            rest = rest.dropFirst(try check(size, "write", path: path(), value: value()))
        } while !rest.isEmpty
    }

    /// Where the file was when it was opened, as the kernel knows it.
    package static func path(of rawValue: CInt) -> String? { readLink("/proc/self/fd/\(rawValue)") }

    /// Empties the file.
    package func truncate() { _ = ftruncate(rawValue, 0) }

    /// The f_type of statfs(2).
    package var filesystemType: Int64 { clinux_filesystem_type(rawValue) }

    /// Takes the exclusive flock(2) of the open file description, which the
    /// kernel drops with the last descriptor that refers to it.
    ///
    /// - Returns: `false` when somebody else holds it.
    package func tryLock() throws(SystemError) -> Bool {
        if flock(rawValue, LOCK_EX | LOCK_NB) == 0 { return true }
        if errno == EWOULDBLOCK { return false }
        throw SystemError("flock", errno: Errno.current)
    }

    package struct Identity: Equatable, Sendable {
        package var device: UInt
        package var inode: UInt
        package var owner: UInt32
        package var isRegularFile: Bool
    }

    package func identity() throws(SystemError) -> Identity {
        var facts = stat()
        try checkErrno(fstat(rawValue, &facts), "fstat")
        return Identity(
            device: UInt(facts.st_dev), inode: UInt(facts.st_ino), owner: facts.st_uid,
            isRegularFile: Int32(facts.st_mode) & S_IFMT == S_IFREG)
    }

    /// A file without a name, in memory.
    package static func memoryFile(name: String) throws(SystemError) -> Descriptor {
        Descriptor(owning: try check(clinux_memfd(name), "memfd_create", path: name))
    }
}

/// A descriptor with several owners; closed with the last of them.
package final class SharedDescriptor: Sendable {
    package let descriptor: Descriptor
    package init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
}

/// Two ends of a SOCK_SEQPACKET connection.
package struct SocketPair: ~Copyable {
    package let near: Descriptor
    package let far: Descriptor

    package init() throws(SystemError) {
        var ends: [CInt] = [-1, -1]
        _ = try check(clinux_socketpair(&ends), "socketpair")
        near = Descriptor(owning: ends[0])
        far = Descriptor(owning: ends[1])
    }

    /// Gives up the far end, which a child has by now.
    package consuming func keepNear() -> Descriptor { near }
}

/// The descriptors that a process was started with and that are not its own.
package enum InheritedDescriptor {
    /// Fills the places of standard streams that are closed, so that nothing this process opens
    /// comes to be its stderr. Programs that it starts find them closed as before.
    package static func occupyStandardStreams() {
        for place in CInt(0)...2 where fcntl(place, F_GETFD) < 0 {
            // The lowest free number is what open returns.
            _ = clinux_open("/dev/null", O_RDWR, 0)
        }
    }

    /// One more descriptor for an open file that this process was started with.
    public static func duplicate(_ rawValue: CInt) throws(SystemError) -> Descriptor {
        Descriptor(
            owning: try check(clinux_duplicate(rawValue), "fcntl(F_DUPFD_CLOEXEC)", path: "descriptor \(rawValue)"))
    }

    /// Keeps a descriptor that the caller named for this process out of the programs it starts.
    package static func keepPrivate(_ rawValue: CInt) throws(SystemError) {
        _ = try check(clinux_set_close_on_exec(rawValue), "fcntl(F_SETFD)", path: "descriptor \(rawValue)")
    }
}

extension Errno {
    static var current: Errno { Errno(rawValue: errno) }
}

/// The whole text of a file outside the cgroup filesystems.
package func readTextFile(_ path: String) throws(SystemError) -> String {
    try Descriptor(opening: path, O_RDONLY).readAll(path: path)
}

/// Whether this process has such a descriptor.
package func isOpen(_ descriptor: CInt) -> Bool { fcntl(descriptor, F_GETFD) >= 0 }

/// What a symbolic link says.
package func readLink(_ path: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let size = buffer.withUnsafeMutableBytes {
        readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
    }
    return size > 0 ? String(decoding: buffer[..<size], as: UTF8.self) : nil
}

package func isDirectory(_ path: String) -> Bool {
    var facts = stat()
    return stat(path, &facts) == 0 && Int32(facts.st_mode) & S_IFMT == S_IFDIR
}

/// Whether this process may execute the file.
package func isExecutable(_ path: String) -> Bool { access(path, X_OK) == 0 }
