internal import Glibc
package import SandboxValues

/// A program that is installed together with this one: beside it, or in `../libexec/cgrun`.
package struct CompanionProgram: Sendable {
    package let candidates: [ByteString]

    /// The first candidate that can be executed; the first of all where none can.
    package var path: ByteString { candidates.first { isExecutable($0.description) } ?? candidates[0] }

    /// - Returns: `nil` where nobody can tell where this program is.
    package init?(_ name: String) {
        guard let executable = ThisProcess.executablePath, let slash = executable.lastIndex(of: "/") else { return nil }
        let directory = executable[..<slash]
        candidates = ["\(directory)/\(name)", "\(directory)/../libexec/cgrun/\(name)"]
            .compactMap { ByteString($0.utf8) }
    }

    /// The program at this path.
    package init(at path: ByteString) { candidates = [path] }
}
