internal import CLinux
internal import Glibc
internal import SystemPackage

/// An open file descriptor with one owner; closed when the owner ends.
package struct Descriptor: ~Copyable, Sendable {
    package let rawValue: CInt

    /// Takes over `rawValue`, which nothing else may close from now on.
    package init(owning rawValue: CInt) { self.rawValue = rawValue }

    deinit { close(rawValue) }

    /// Opens a path. Close-on-exec is always set.
    package init(opening path: String, _ flags: CInt, mode: UInt32 = 0) throws(SystemError) {
        rawValue = try checkErrno(open(path, flags | O_CLOEXEC, mode), "open", path: path)
    }

    /// Connects to a Unix socket without waiting.
    ///
    /// - Throws: `EAGAIN` when the listener's queue is full.
    package init(connectingTo path: String) throws(SystemError) {
        rawValue = try check(clinux_connect(path), "connect", path: path)
    }

    /// Gives the raw descriptor to the caller, who has to close it.
    package consuming func giveUp() -> CInt {
        let descriptor = rawValue
        discard self
        return descriptor
    }

    package func duplicate() throws(SystemError) -> Descriptor { try InheritedDescriptor.duplicate(rawValue) }

    /// Reads the whole file from its start. Meant for files whose text the kernel makes at each read.
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
            // The kernel returns such files page by page. So a read that is not filled shows the end only if it is the
            // first one, which asks for less than a page.
            if size == 0 || offset < room && room == 1024 { return String(decoding: bytes, as: UTF8.self) }
        }
    }

    /// Reads the whole file from its start, byte for byte.
    package func readBytes(path: @autoclosure () -> String) throws(SystemError) -> [UInt8] {
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let size = pread(rawValue, &buffer, buffer.count, off_t(result.count))
            if size < 0, errno == EINTR { continue }
            guard size >= 0 else { throw SystemError("read", path: path(), errno: Errno.current) }
            if size == 0 { return result }
            result += buffer[..<size]
        }
    }

    package func write(_ text: String, path: @autoclosure () -> String) throws(SystemError) {
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

    /// The path by which the kernel knows an open file; `nil` where there is none.
    package static func path(of rawValue: CInt) -> String? { readLink("/proc/self/fd/\(rawValue)") }

    /// Goes back to the start of the file.
    package func rewind() throws(SystemError) {
        _ = try check(lseek(rawValue, 0, SEEK_SET) < 0 ? -Int(errno) : 0, "lseek")
    }

    /// Empties the file.
    package func truncate() { _ = ftruncate(rawValue, 0) }

    /// The f_type of statfs(2).
    package var filesystemType: Int64 {
        var facts = statfs()
        return fstatfs(rawValue, &facts) == 0 ? Int64(facts.f_type) : -1
    }

    /// What fstat(2) says; `nil`, with the reason in `errno`, where it fails.
    var facts: stat? {
        var facts = stat()
        return fstat(rawValue, &facts) == 0 ? facts : nil
    }

    package var owner: UInt32? { facts?.st_uid }
    package var isSticky: Bool { facts.map { Int32($0.st_mode) & S_ISVTX != 0 } ?? false }
    package var inode: UInt? { facts.map { UInt($0.st_ino) } }

    /// Takes the exclusive flock(2) of the open file description, which the
    /// kernel drops with the last descriptor that refers to it.
    ///
    /// - Returns: `false` when somebody else holds the lock.
    package func tryLock() throws(SystemError) -> Bool {
        if flock(rawValue, LOCK_EX | LOCK_NB) == 0 { return true }
        if errno == EWOULDBLOCK { return false }
        throw SystemError("flock", errno: Errno.current)
    }

    /// Makes a file in memory. `name` is only shown in `/proc`.
    package static func memoryFile(name: String) throws(SystemError) -> Descriptor {
        Descriptor(owning: try check(clinux_memfd(name), "memfd_create", path: name))
    }
}

/// A descriptor with several owners; closed with the last of them.
package final class SharedDescriptor: Sendable {
    package let descriptor: Descriptor
    package init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
}
