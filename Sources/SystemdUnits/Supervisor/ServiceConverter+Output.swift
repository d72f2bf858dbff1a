// Where a process's output went under supervisor, and where it goes under systemd.

extension ServiceConverter {
    /// Sets `StandardOutput=`, `StandardError=` and `SyslogIdentifier=`.
    mutating func setOutput(_ service: inout Service) throws {
        service.syslogIdentifier = process.name
        service.output = try output(process.output, "stdout")
        if process.redirectsErrors {
            service.errorOutput = .inherit
            report("redirect_stderr", .exact, "StandardError=inherit")
            if case .file = process.errorOutput.place {
                report("stderr_logfile", .dropped, "", "redirect_stderr=true overrides it in supervisor, too")
            }
        } else {
            service.errorOutput = try output(process.errorOutput, "stderr")
            report("redirect_stderr", .exact, "StandardError=")
        }
    }

    /// Where one stream, `stdout` or `stderr`, goes.
    private mutating func output(_ log: SupervisorProcess.Log, _ stream: String) throws -> Output {
        let key = stream + "_logfile"
        let setting = stream == "stdout" ? "StandardOutput" : "StandardError"
        if log.goesToSyslog {
            let note = log.place == .none || log.place == .syslog ? "" : "the journal only, no log file besides"
            if reader.configuration.value(process.section, stream + "_syslog") != nil {
                report(stream + "_syslog", note.isEmpty ? .exact : .approximate, "\(setting)=journal", note)
            }
            if case .file = log.place {
                report(key, .dropped, "", "the output goes to the journal as \(stream)_syslog asks")
            }
            if case .syslog = log.place { report(key, .exact, "\(setting)=journal") }
            return .journal
        }
        report(stream + "_syslog", .exact, "")
        switch log.place {
        case .automatic, .syslog:
            report(key, .approximate, "\(setting)=journal", "the journal in place of a file in childlogdir")
            return .journal
        case .none, .file("/dev/null"):
            report(key, .exact, "\(setting)=null")
            return .null
        case .file(let path) where Self.isDevice(path):
            report(key, .approximate, "\(setting)=journal", "supervisord's own output became the journal")
            return .journal
        case .file(let path):
            let absolute = try logPath(path, key)
            report(key, .exact, "\(setting)=append:\(absolute)")
            reportRotation(log, key)
            return .file(absolute)
        }
    }

    private mutating func reportRotation(_ log: SupervisorProcess.Log, _ key: String) {
        guard log.maximumBytes > 0 else {
            report(key + "_maxbytes", .exact, "no rotation")
            report(key + "_backups", .exact, "no rotation")
            return
        }
        report(key + "_maxbytes", .approximate, "logrotate: size \(log.maximumBytes)", "looked at when logrotate runs")
        report(key + "_backups", .exact, "logrotate: rotate \(log.backups)")
    }

    /// The absolute path of a log file, which supervisor also takes relative to its directory or with `~/` for home.
    private func logPath(_ path: String, _ key: String) throws -> String {
        if path.hasPrefix("~") {
            guard path.hasPrefix("~/"), let home = reader.surroundings.environment("HOME") else {
                throw failure(key, "\(path): expected an absolute path")
            }
            return Command.normalized(home + path.dropFirst())
        }
        return Command.normalized(path.hasPrefix("/") ? path : (reader.defaults.directory ?? "") + "/" + path)
    }

    /// Whether the path is one of those by which configurations for containers name supervisord's own output.
    private static func isDevice(_ path: String) -> Bool {
        ["/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2", "/proc/self/fd/1", "/proc/self/fd/2"].contains(path)
    }
}
