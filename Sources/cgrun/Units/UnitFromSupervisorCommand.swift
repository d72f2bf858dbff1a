internal import ArgumentParser
internal import Glibc
internal import LinuxSystem
internal import SystemdUnits

struct UnitFromSupervisorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "from-supervisor",
        abstract: "Units from supervisord's configuration.",
        usage: "cgrun unit from-supervisor <file> … [options]",
        discussion: """
            Reads it as supervisord does, includes too, and tells for every key whether systemd does the same (exact), \
            something like it (approximate) or nothing (dropped). Run it where supervisord would run: %(ENV_X)s and \
            programs without a path are looked up in this environment.
            """)

    @Argument(help: "The configuration; further files are read as if the first included them.", completion: .file())
    var files: [String]
    @Option(
        help: "Write the units and the logrotate snippet here; it is made if it is not there.", completion: .directory)
    var output: String?
    @Option(help: "Only this program or group; may be given more than once.") var only: [String] = []
    @Option(help: "Put this before every unit's name.") var prefix = ""
    @Option(help: "off, standard or strict, as with `cgrun unit service`.") var harden = Hardening.Profile.off
    @Flag(help: "For programs: units and grades as JSON on stdout.") var json = false
    @Flag(help: "Show conversions that are exact, too.") var all = false
    @Flag(help: "With --output: have systemd read them, and enable what supervisord would start.") var enable = false
    @Flag(help: "Overwrite files that cgrun did not write, and units of the same name from elsewhere.") var force =
        false
    @Flag(help: "With --output: show what would change, and change nothing.") var diff = false

    /// What `--json` prints.
    private struct Document: Encodable {
        struct File: Encodable {
            var name: String
            var text: String
        }

        var schema = 1
        var units: [File]
        var logrotate: String?
        var enable: [String]
        var conversions: [Finding]
    }

    func run() throws {
        guard output != nil || (!enable && !diff && !force) else {
            throw UsageError("--\(enable ? "enable" : diff ? "diff" : "force") needs --output DIR")
        }
        let conversion = try convert()
        let units = try conversion.units.map { (path: $0.path, text: try $0.text()) }
        if json {
            let document = Document(
                units: units.map { Document.File(name: $0.path, text: $0.text) }, logrotate: conversion.logrotate,
                enable: conversion.enabled, conversions: conversion.findings)
            print(String(decoding: try ReportOutput.encode(document), as: UTF8.self), terminator: "")
        }
        if let output {
            let rotation = conversion.logrotate.map { [(path: "\(prefix)supervisor.logrotate", text: $0)] } ?? []
            let writer = try UnitWriter(
                directory: output, option: "--output \(output)", isUser: false, createsDirectory: true, isForced: force)
            try writer.put(units + rotation, isDiff: diff)
            if enable, !diff { try writer.enable(conversion.enabled) }
        } else if !json {
            for unit in units { print("# ---- \(unit.path)\n\(unit.text)") }
            if let logrotate = conversion.logrotate {
                print("# ---- /etc/logrotate.d/\(prefix)supervisor\n\(logrotate)")
            }
        }
        if !json { tell(conversion.findings) }
    }

    /// On stderr, so that the units can be piped.
    private func tell(_ findings: [Finding]) {
        let shown = findings.filter { all || $0.grade != .exact }
        let counts = Grade.allCases.map { grade in "\(findings.count { $0.grade == grade }) \(grade.rawValue)" }
        let text = (shown.isEmpty ? "" : Finding.table(shown)) + counts.joined(separator: ", ") + "\n"
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }

    private func convert() throws -> SupervisorConversion {
        var options = SupervisorConversion.Options()
        (options.prefix, options.only, options.hardening) = (prefix, only, harden)
        let paths = files.map { $0.hasPrefix("/") ? $0 : (ThisProcess.currentDirectory ?? "") + "/" + $0 }
        do {
            return try SupervisorConversion(files: paths, surroundings: Self.surroundings, options: options)
        } catch {
            throw UsageError("\(error)")
        }
    }

    private static let surroundings = SupervisorSurroundings(
        readFile: { path in
            // Bytes that are not UTF-8 would have become U+FFFD on the way, and the units would differ from the file.
            guard let text = try? readTextFile(path), !text.unicodeScalars.contains("\u{FFFD}") else { return nil }
            return text
        },
        glob: { pattern in
            var found = glob_t()
            defer { globfree(&found) }
            guard Glibc.glob(pattern, 0, nil, &found) == 0 else { return [] }
            return (0..<Int(found.gl_pathc)).compactMap { found.gl_pathv[$0].map { String(cString: $0) } }
        },
        environment: { ThisProcess.environmentVariable($0) },
        findExecutable: { name, directories in ExecutableSearch.find(name, in: directories) },
        primaryGroup: { user in
            guard let credentials = try? UserDatabase.credentials(user: user, group: nil) else { return nil }
            return getgrgid(credentials.gid).map { String(cString: $0.pointee.gr_name) } ?? String(credentials.gid)
        },
        hostName: Machine.hostName)
}
