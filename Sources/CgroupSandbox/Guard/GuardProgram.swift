internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// The guard program on disk.
struct GuardProgram: Sendable {
    let candidates: [ByteString]

    /// The first candidate that can be executed; the first of all where none can.
    var path: ByteString { candidates.first { isExecutable($0.description) } ?? candidates[0] }

    /// `CGRUN_GUARD` if set, else `cgrun-guard` beside this executable, else the one in `../libexec/cgrun`.
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
