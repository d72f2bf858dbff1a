internal import ArgumentParser
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
    @Option(help: "Only this program or group; may be given more than once.") var only: [String] = []
    @OptionGroup var output: ConversionOutput

    func run() throws {
        try output.check()
        let made = try convert()
        try output.put(
            Conversion(units: made.units, logrotate: made.logrotate, enabled: made.enabled, findings: made.findings),
            from: "supervisor")
    }

    private func convert() throws -> SupervisorConversion {
        var options = SupervisorConversion.Options()
        (options.prefix, options.only, options.hardening) = (output.prefix, only, output.harden)
        let paths = files.map(ThisProcess.absolute)
        do {
            return try SupervisorConversion(files: paths, surroundings: .machine, options: options)
        } catch {
            throw UsageError("\(error)")
        }
    }
}
