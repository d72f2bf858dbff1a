internal import Glibc
internal import LinuxSystem

/// Looks for programs as exec would.
enum ExecutableSearch {
    /// - Parameter directories: `nil` for those of this process's `PATH`.
    static func find(_ name: String, in directories: [String]?) -> String? {
        let path =
            directories
            ?? (ThisProcess.environmentVariable("PATH") ?? "/usr/bin:/bin").split(separator: ":").map(String.init)
        return path.filter { $0.hasPrefix("/") }.map { $0 + "/" + name }.first { candidate in
            var facts = stat()
            return stat(candidate, &facts) == 0 && facts.st_mode & S_IFMT == S_IFREG && isExecutable(candidate)
        }
    }
}
