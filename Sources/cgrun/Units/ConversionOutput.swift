internal import ArgumentParser
internal import SandboxValues
internal import SystemdUnits

/// Units that were made from something else, and what became of that.
struct Conversion {
    var units: [UnitFile]
    /// For `/etc/logrotate.d`; `nil` for none.
    var logrotate: String?
    /// What to give to `systemctl enable`.
    var enabled: [String]
    var findings: [Finding]
}

/// Where a conversion goes.
struct ConversionOutput: ParsableArguments {
    @Option(
        help: "Write the units and the logrotate snippet here; it is made if it is not there.", completion: .directory)
    var output: String?
    @Option(help: "Put this before every unit's name.") var prefix = ""
    @Option(help: "off, standard or strict, as with `cgrun unit service --allow-network`.") var harden = Hardening
        .Profile.off
    @Flag(help: "For programs: units and grades as JSON on stdout.") var json = false
    @Flag(help: "Show conversions that are exact, too.") var all = false
    @Flag(help: "With --output: have systemd read them, and enable what would be started.") var enable = false
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

    /// - Throws: for options that mean nothing without others.
    func check() throws(UsageError) {
        guard output != nil || (!enable && !diff && !force) else {
            throw UsageError("--\(enable ? "enable" : diff ? "diff" : "force") needs --output DIR")
        }
        guard prefix.unicodeScalars.allSatisfy({ $0.isASCII && !$0.isUnprintable && !"/ ".unicodeScalars.contains($0) })
        else {
            throw UsageError(
                "--prefix \(prefix.asName): expected the beginning of a unit's name, of ASCII without slash and blank")
        }
    }

    /// Prints or writes the units, and tells what became of each key.
    ///
    /// - Parameter source: what the logrotate snippet is called after.
    func put(_ conversion: Conversion, from source: String) throws {
        let units = try conversion.units.map { (path: $0.path, text: try $0.text()) }
        if json {
            let document = Document(
                units: units.map { Document.File(name: $0.path, text: $0.text) }, logrotate: conversion.logrotate,
                enable: conversion.enabled, conversions: conversion.findings)
            print(String(decoding: try ReportOutput.encode(document), as: UTF8.self), terminator: "")
        }
        if let output {
            let rotation = conversion.logrotate.map { [(path: "\(prefix)\(source).logrotate", text: $0)] } ?? []
            let writer = try UnitWriter(
                directory: output, option: "--output \(output)", isUser: false, createsDirectory: !diff,
                isForced: force,
                mayBeMissing: diff)
            try writer.put(units + rotation, isDiff: diff)
            if enable, !diff { try writer.enable(conversion.enabled) }
        } else if !json {
            for unit in units { print("# ---- \(unit.path)\n\(unit.text)") }
            if let logrotate = conversion.logrotate {
                print("# ---- /etc/logrotate.d/\(prefix)\(source)\n\(logrotate)")
            }
        }
        if !json { conversion.findings.tell(all: all) }
    }
}
