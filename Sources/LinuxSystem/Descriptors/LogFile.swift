internal import CLinux
internal import Glibc
internal import SystemPackage

/// A file that is added to, under a name that others may take away from it.
///
/// What the path leads to is found out once, as `SafePath` has it, and its directory stays open: nobody who changes the
/// path afterwards can have another file written.
package struct LogFile: Sendable {
    private let directory: SharedDescriptor
    private let name: String

    /// - Throws: why there can be no such file. Only regular files are accepted: a device or a FIFO could hold the
    ///   writer up, and cannot be set aside.
    package init(_ path: String) throws(PathRefusal) {
        let place = try SafePath(path)
        guard place.ownDescriptor == nil, place.facts.map({ Int32($0.st_mode) & S_IFMT == S_IFREG }) ?? true else {
            throw PathRefusal("it is no regular file", accepted: "a regular file, or the name of a new one")
        }
        do throws(SystemError) { directory = SharedDescriptor(try place.directory.duplicate()) } catch {
            throw PathRefusal("\(error.errno)")
        }
        name = place.name
    }

    /// Opens the file, and makes it if it is not there; `nil` where that cannot be.
    package func open() -> SharedDescriptor? {
        // Not O_APPEND, which splice(2) refuses.
        let flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC
        let opened = openat(directory.descriptor.rawValue, name, flags, 0o640)
        guard opened >= 0 else { return nil }
        let file = SharedDescriptor(Descriptor(owning: opened))
        // A second name could be that of a file which is not to be written to.
        return file.descriptor.isRegularFile && file.descriptor.facts?.st_nlink == 1 ? file : nil
    }

    /// Whether an open file still has the name.
    package func isNamed(_ file: SharedDescriptor) -> Bool {
        var facts = stat()
        return fstatat(directory.descriptor.rawValue, name, &facts, AT_SYMLINK_NOFOLLOW) == 0
            && file.descriptor.inode == UInt(facts.st_ino)
    }

    /// Gives the file the name `NAME.1`, that file the name `NAME.2`, and so on.
    ///
    /// - Parameter count: how many of them there are at most.
    /// - Returns: whether the name is free now.
    package func setAside(keeping count: Int) -> Bool {
        let place = directory.descriptor.rawValue
        guard count > 0 else { return unlinkat(place, name, 0) == 0 }
        for number in stride(from: count - 1, through: 1, by: -1) {
            renameat(place, "\(name).\(number)", place, "\(name).\(number + 1)")
        }
        return renameat(place, name, place, "\(name).1") == 0
    }
}

extension Descriptor {
    package var isRegularFile: Bool { facts.map { Int32($0.st_mode) & S_IFMT == S_IFREG } ?? false }
    /// How long the file is.
    package var length: UInt64? { facts.map { UInt64(clamping: $0.st_size) } }

    /// Goes to the end of the file.
    ///
    /// - Returns: how long the file is.
    package func seekToEnd() -> UInt64 { UInt64(max(0, lseek(rawValue, 0, SEEK_END))) }
}
