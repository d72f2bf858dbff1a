internal import Glibc
internal import LinuxSystem

/// Looks for programs as exec would.
enum ExecutableSearch {
    /// - Parameter directories: `nil` for those of this process's `PATH`.
    static func find(_ name: String, in directories: [String]?) -> String? {
        let path =
            directories
            ?? (ThisProcess.environmentVariable("PATH") ?? "/usr/bin:/bin").split(separator: ":").map(String.init)
        for directory in path where directory.hasPrefix("/") {
            let candidate = directory + "/" + name
            var facts = stat()
            if stat(candidate, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG, access(candidate, X_OK) == 0 {
                return candidate
            }
        }
        return nil
    }
}
