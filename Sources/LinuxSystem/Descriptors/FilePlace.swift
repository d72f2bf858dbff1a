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
