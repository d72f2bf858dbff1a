internal import Glibc
internal import SystemPackage

/// A file with a process number in it, for other programs.
package struct PIDFile: Sendable {
    private let place: FilePlace
    /// Which file this process has written.
    private var written: UInt?

    /// - Throws: why there can be no such file.
    package init(_ path: String) throws(PathRefusal) { place = try FilePlace(path) }

    /// Writes the file, in one step and in place of one that is there. It does not wait for the disk: after a crash of
    /// the machine the number means nothing.
    package mutating func write(_ pid: ProcessID) throws(SystemError) {
        let directory = place.directory.descriptor.rawValue
        let new = ".\(place.name).\(Machine.randomHexadecimal())"
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let file = Descriptor(owning: try checkErrno(openat(directory, new, flags, 0o644), "open", path: place.name))
        do throws(SystemError) {
            try file.write("\(pid)\n", path: place.name)
            try checkErrno(renameat(directory, new, directory, place.name), "rename", path: place.name)
        } catch {
            unlinkat(directory, new, 0)
            throw error
        }
        written = file.inode
    }

    /// Removes the file, unless somebody else has put another in its place.
    package mutating func remove() {
        if let written, place.inode == written { unlinkat(place.directory.descriptor.rawValue, place.name, 0) }
        written = nil
    }
}
