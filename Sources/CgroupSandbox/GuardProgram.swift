internal import LinuxSystem

/// The guard program on disk.
struct GuardProgram: Sendable {
    let candidates: [ByteString]

    /// `CGRUN_GUARD` if set, else beside this executable, else in `../libexec/cgrun`.
    init() throws(LaunchError) {
        if let path = ThisProcess.environmentVariable("CGRUN_GUARD"), let given = ByteString(path.utf8) {
            candidates = [given]
            return
        }
        guard let executable = ThisProcess.executablePath, let slash = executable.lastIndex(of: "/") else {
            throw LaunchError(.setup, "cannot tell where this program is (no /proc?)", remedy: "set CGRUN_GUARD")
        }
        let directory = executable[..<slash]
        candidates = ["\(directory)/cgrun-guard", "\(directory)/../libexec/cgrun/cgrun-guard"]
            .compactMap { ByteString($0.utf8) }
    }
}
