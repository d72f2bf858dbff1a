internal import CLinux
internal import Glibc
internal import SystemPackage

/// The whole text of a file outside the cgroup filesystems.
package func readTextFile(_ path: String) throws(SystemError) -> String {
    try Descriptor(opening: path, O_RDONLY).readAll(path: path)
}

/// The target of a symbolic link; `nil` where it cannot be read.
package func readLink(_ path: String) -> String? { readLink(path, in: AT_FDCWD) }

/// - Parameter directory: where the path begins; with an empty path, the descriptor of the link itself.
func readLink(_ path: String, in directory: CInt) -> String? {
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let size = buffer.withUnsafeMutableBytes {
        readlinkat(directory, path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
    }
    return size > 0 ? String(decoding: buffer[..<size], as: UTF8.self) : nil
}

/// The names in a directory.
package func listing(_ path: String) throws(SystemError) -> [String] {
    try listing(Descriptor(opening: path, O_RDONLY | O_DIRECTORY), path: path) { _ in true }
}

/// The names in a directory, which is read from its start to its end.
///
/// - Parameter includes: chooses by the type of the entry (`DT_DIR`).
package func listing(
    _ directory: consuming Descriptor, path: @autoclosure () -> String, where includes: (CInt) -> Bool
) throws(SystemError) -> [String] {
    let descriptor = directory.giveUp()
    guard let stream = fdopendir(descriptor) else {
        let error = Errno(rawValue: errno)
        close(descriptor)
        throw SystemError("opendir", path: path(), errno: error)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
        guard includes(CInt(entry.pointee.d_type)) else { continue }
        let name = withUnsafeBytes(of: &entry.pointee.d_name) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names
}

package func isDirectory(_ path: String) -> Bool {
    var facts = stat()
    return stat(path, &facts) == 0 && Int32(facts.st_mode) & S_IFMT == S_IFDIR
}

/// Whether this process may execute the file.
package func isExecutable(_ path: String) -> Bool { access(path, X_OK) == 0 }
