internal import SandboxValues

/// The rotation of log files that a supervisor itself did, written for logrotate(8).
package struct LogRotation {
    /// Who did it, for the comment at the top.
    private let supervisor: String
    /// The absolute path of the file that names the logs.
    private let source: String

    /// The files to rotate, each once, with the size at which to rotate it and the number of old files to keep.
    private var logs: [(path: String, maximumBytes: Int, backups: Int)] = []

    package init(supervisor: String, source: String) {
        (self.supervisor, self.source) = (supervisor, source)
    }

    /// Adds a file, unless it is there already.
    package mutating func add(_ path: String, maximumBytes: Int, backups: Int) {
        guard maximumBytes > 0, !logs.contains(where: { $0.path == path }) else { return }
        logs.append((path, maximumBytes, backups))
    }

    /// Adds the files that the service writes its output to, with the sizes that supervisor had for the process's
    /// logs.
    mutating func add(_ service: Service, _ process: SupervisorProcess) {
        let streams = [(service.output, process.output), (service.errorOutput, process.errorOutput)]
        for case (.file(let path), let log) in streams {
            add(path, maximumBytes: log.maximumBytes, backups: log.backups)
        }
    }

    /// A file for `/etc/logrotate.d`; `nil` where there is nothing to rotate.
    package var text: String? {
        guard !logs.isEmpty else { return nil }
        var lines = [
            UnitFile.mark + ": logs of \(source.inOneLine)",
            "# \(supervisor) rotated them itself.",
            "# For /etc/logrotate.d. Sizes are looked at whenever logrotate runs, so run it more often than daily",
            "# if a log can outgrow its size within a day. copytruncate, because systemd keeps the files open.",
        ]
        for log in logs {
            lines += [
                "", "\(Self.quoted(log.path)) {", "    size \(log.maximumBytes)", "    rotate \(log.backups)",
                "    copytruncate", "    missingok", "    notifempty", "}",
            ]
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The path as logrotate reads it: as a shell pattern, also between quotes. A brace begins or ends a block even
    /// between quotes, so `?`, the pattern for any one character, takes the place of each brace.
    private static func quoted(_ path: String) -> String {
        guard path.contains(where: { #" "'\*?[]{}#"#.contains($0) }) else { return path }
        let pattern = path.flatMap { character in
            "{}".contains(character) ? "?" : #""\*?[]"#.contains(character) ? "\\\(character)" : String(character)
        }
        return "\"" + pattern + "\""
    }
}
