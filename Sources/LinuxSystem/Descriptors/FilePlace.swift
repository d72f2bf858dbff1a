internal import CLinux
internal import Glibc
internal import SystemPackage

/// Where a regular file is or will be: its directory, which stays open, and its name.
///
/// What the path leads to is found out once, as `SafePath` has it: nobody who changes the path afterwards can have
/// another file written or removed.
struct FilePlace: Sendable {
    let directory: SharedDescriptor
    let name: String

    /// - Throws: why there can be no such file. Only regular files are accepted: a device or a FIFO could hold the
    ///   writer up, and must not be replaced.
    init(_ path: String) throws(PathRefusal) {
        let place = try SafePath(path)
        guard place.ownDescriptor == nil, place.facts.map({ Int32($0.st_mode) & S_IFMT == S_IFREG }) ?? true else {
            throw PathRefusal("it is no regular file", accepted: "a regular file, or the name of a new one")
        }
        do throws(SystemError) { directory = SharedDescriptor(try place.directory.duplicate()) } catch {
            throw PathRefusal("\(error.errno)")
        }
        name = place.name
    }

    /// Which file has the name now.
    var inode: UInt? {
        var facts = stat()
        let result = fstatat(directory.descriptor.rawValue, name, &facts, AT_SYMLINK_NOFOLLOW)
        return result == 0 ? UInt(facts.st_ino) : nil
    }
}

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
