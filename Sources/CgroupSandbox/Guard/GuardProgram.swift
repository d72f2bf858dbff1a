internal import LinuxSystem
internal import SandboxValues

/// The guard program on disk.
struct GuardProgram: Sendable {
    private let program: CompanionProgram

    var candidates: [ByteString] { program.candidates }
    var path: ByteString { program.path }

    /// `CGRUN_GUARD` if set, else `cgrun-guard` beside this executable, else the one in `../libexec/cgrun`.
    init() throws(LaunchError) {
        if let path = ThisProcess.environmentVariable("CGRUN_GUARD"), let given = ByteString(path.utf8) {
            program = CompanionProgram(at: given)
            return
        }
        guard let found = CompanionProgram("cgrun-guard") else {
            throw LaunchError(.setup, "cannot tell where this program is (no /proc?)", remedy: "set CGRUN_GUARD")
        }
        program = found
    }
}
