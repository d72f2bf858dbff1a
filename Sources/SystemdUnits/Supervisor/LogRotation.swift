/// What supervisor does to its log files, for logrotate(8).
struct LogRotation {
    private var logs: [(path: String, maximumBytes: Int, backups: Int)] = []

    /// The files that the service writes, with the sizes that the process had.
    mutating func add(_ service: Service, _ process: SupervisorProcess) {
        add(service.output, process.output)
        add(service.errorOutput, process.errorOutput)
    }

    private mutating func add(_ output: Output, _ log: SupervisorProcess.Log) {
        guard case .file(let path) = output, log.maximumBytes > 0, !logs.contains(where: { $0.path == path }) else {
            return
        }
        logs.append((path, log.maximumBytes, log.backups))
    }

    /// Empty when there is nothing to rotate.
    var text: String {
        guard !logs.isEmpty else { return "" }
        var lines = [
            UnitFile.mark + ": logs that supervisord rotated itself.",
            "# For /etc/logrotate.d. Sizes are looked at whenever logrotate runs, so run it more often than daily",
            "# if a log can outgrow its size within a day. copytruncate, because systemd keeps the files open.",
        ]
        for log in logs {
            lines += [
                "", "\(Self.quoted(log.path)) {", "    size \(log.maximumBytes)", "    rotate \(log.backups)",
                "    copytruncate",
                "    missingok", "    notifempty", "}",
            ]
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// logrotate reads names as shell patterns between quotes. Braces delimit the block even there, so
    /// that the pattern for any one character has to stand for each.
    private static func quoted(_ path: String) -> String {
        let special = path.contains { #" "'\*?[]{}#"#.contains($0) }
        guard special else { return path }
        let pattern = path.flatMap { character in
            "{}".contains(character) ? "?" : #""\*?[]"#.contains(character) ? "\\\(character)" : String(character)
        }
        return "\"" + pattern + "\""
    }
}
