internal import LinuxSystem
internal import SandboxValues

extension JobSpec {
    /// Where `execvp` would look for the command when no `PATH` is set.
    private static let defaultPath = Array("/bin:/usr/bin".utf8)

    /// The paths to try for the command, in the order of the job's own `PATH`.
    package var candidates: [ByteString] {
        let slash = UInt8(ascii: "/")
        guard let command = arguments.first?.bytes else { return [] }
        if command.contains(slash) || command.isEmpty { return [arguments[0]] }
        let path = environmentValue("PATH") ?? Self.defaultPath[...]
        return path.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false).compactMap { directory in
            // An empty element is the working directory.
            ByteString((directory.isEmpty ? [UInt8(ascii: ".")] : Array(directory)) + [slash] + command)
        }
    }
}
