internal import CLinux
internal import Glibc

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

package func isDirectory(_ path: String) -> Bool {
    var facts = stat()
    return stat(path, &facts) == 0 && Int32(facts.st_mode) & S_IFMT == S_IFDIR
}

/// Whether this process may execute the file.
package func isExecutable(_ path: String) -> Bool { access(path, X_OK) == 0 }
