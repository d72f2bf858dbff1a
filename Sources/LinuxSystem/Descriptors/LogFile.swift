internal import CLinux
internal import Glibc
internal import SystemPackage

/// A file that is added to, under a name that others may take away from it.
package struct LogFile: Sendable {
    private let place: FilePlace

    /// - Throws: why there can be no such file.
    package init(_ path: String) throws(PathRefusal) { place = try FilePlace(path) }

    /// Opens the file, and makes it if it is not there; `nil` where that cannot be.
    package func open() -> SharedDescriptor? {
        // Not O_APPEND, which splice(2) refuses.
        let flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC
        let opened = openat(place.directory.descriptor.rawValue, place.name, flags, 0o640)
        guard opened >= 0 else { return nil }
        let file = SharedDescriptor(Descriptor(owning: opened))
        // A second name could be that of a file which is not to be written to.
        return file.descriptor.isRegularFile && file.descriptor.facts?.st_nlink == 1 ? file : nil
    }

    /// Whether an open file still has the name.
    package func isNamed(_ file: SharedDescriptor) -> Bool {
        place.inode.map { file.descriptor.inode == $0 } ?? false
    }

    /// Gives the file the name `NAME.1`, that file the name `NAME.2`, and so on.
    ///
    /// - Parameter count: how many of them there are at most.
    /// - Returns: whether the name is free now.
    package func setAside(keeping count: Int) -> Bool {
        let (directory, name) = (place.directory.descriptor.rawValue, place.name)
        guard count > 0 else { return unlinkat(directory, name, 0) == 0 }
        for number in stride(from: count - 1, through: 1, by: -1) {
            renameat(directory, "\(name).\(number)", directory, "\(name).\(number + 1)")
        }
        return renameat(directory, name, directory, "\(name).1") == 0
    }
}

extension Descriptor {
    package var isRegularFile: Bool { facts.map { Int32($0.st_mode) & S_IFMT == S_IFREG } ?? false }
    package var isPipe: Bool { facts.map { Int32($0.st_mode) & S_IFMT == S_IFIFO } ?? false }
    /// How long the file is.
    package var length: UInt64? { facts.map { UInt64(clamping: $0.st_size) } }

    /// Goes to the end of the file.
    ///
    /// - Returns: how long the file is.
    package func seekToEnd() -> UInt64 { UInt64(max(0, lseek(rawValue, 0, SEEK_END))) }
}
