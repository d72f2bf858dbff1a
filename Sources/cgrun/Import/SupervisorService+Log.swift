internal import SandboxValues
internal import SystemdUnits

// Where a process's output goes.

extension SupervisorService {
    mutating func setLog() throws(SupervisorError) {
        let output = try place(process.output, "stdout")
        var errors: String?
        if process.redirectsErrors {
            report("stderr_logfile", .exact)
        } else {
            errors = try place(process.errorOutput, "stderr")
            if let errors, errors != output {
                report(
                    "stderr_logfile", output == nil ? .approximate : .dropped, output == nil ? "log.file" : "",
                    "output and errors go to one log")
            }
        }
        report("redirect_stderr", process.redirectsErrors ? .exact : .dropped, "", "output and errors go to one log")
        let (file, log, stream) =
            output != nil || errors == nil
            ? (output, process.output, "stdout") : (errors, process.errorOutput, "stderr")
        var entries: [TOMLValue.Entry] = []
        if let file { entries.append(.init(key: "file", value: .text(file))) }
        let key = stream + "_logfile"
        let isSized =
            log.place == .automatic && (value(key + "_maxbytes") != nil || value(key + "_backups") != nil)
        if file != nil || isSized { entries += size(log, key) }
        if !entries.isEmpty { table["log"] = .table(entries) }
    }

    /// The file for one stream of output; `nil` where supervisor has none, or one of its own choice.
    private mutating func place(_ log: SupervisorProcess.Log, _ stream: String) throws(SupervisorError) -> String? {
        let key = stream + "_logfile"
        if log.goesToSyslog {
            var keys = [stream + "_syslog"]
            if case .file = log.place {} else { keys.append(key) }
            for key in keys { report(key, .dropped, "", "there is no syslog; the output is in the log") }
        }
        let others = ["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2", "/proc/self/fd/1"]
        switch log.place {
        case .automatic: report(key, .approximate, "the service's log", "it is not in childlogdir")
        case .syslog: break
        case .none where log.goesToSyslog: break
        case .none, .file("/dev/null"):
            report(key, .approximate, "the service's log", "it is kept, and not thrown away")
        case .file(let path) where others.contains(path):
            report(key, .approximate, "the service's log", "cgrun up without -d shows it")
        case .file(let path):
            report(key, .exact, "log.file")
            if path.hasPrefix("~/"), let home = reader.surroundings.environment("HOME") {
                return home + path.dropFirst()
            }
            guard !path.hasPrefix("~") else { throw failure(key, "\(path): expected an absolute path") }
            let base = reader.defaults.directory.map { $0 + "/" } ?? ""
            return path.hasPrefix("/") ? path : base + path
        }
        return nil
    }

    /// When a log is set aside, and how many are kept. cgrun knows no log that grows for ever.
    private mutating func size(_ log: SupervisorProcess.Log, _ key: String) -> [TOMLValue.Entry] {
        let largest = 1 << 40
        let bytes = log.maximumBytes == 0 ? largest : min(max(log.maximumBytes, 4096), largest)
        report(
            key + "_maxbytes", bytes == log.maximumBytes ? .exact : .approximate, "log.max",
            log.maximumBytes == 0 ? "1T, where supervisor lets it grow for ever" : "from 4K to 1T")
        report(key + "_backups", log.backups <= 100 ? .exact : .approximate, "log.keep", "at most 100")
        var text = "\(bytes)"
        for (unit, size) in [("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)] where bytes % size == 0 {
            text = "\(bytes / size)\(unit)"
            break
        }
        return [
            .init(key: "max", value: .text(text)), .init(key: "keep", value: .number(min(log.backups, 100))),
        ]
    }
}
