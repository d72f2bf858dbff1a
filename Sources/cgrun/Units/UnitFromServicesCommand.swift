internal import ArgumentParser
internal import LinuxSystem
internal import SandboxValues
internal import SystemdUnits

struct UnitFromServicesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "from-services",
        abstract: "Units for boot from a cgrun.toml.",
        usage: "cgrun unit from-services [cgrun.toml] [options]",
        discussion: """
            Each service becomes a unit, and tells for every key whether systemd does the same (exact), something like it \
            (approximate) or nothing (dropped). A limit that systemd does not have is an error. Programs without a path \
            are looked up now, in this PATH or in that of the service. --harden strict leaves the network to the services.

            Example: cgrun unit from-services --output /etc/systemd/system --enable
            """)

    @Argument(help: "The file.", completion: .file(extensions: ["toml"])) var file = "cgrun.toml"
    @Option(help: "Only this service, and what it requires; may be given more than once.") var only: [String] = []
    @OptionGroup var output: ConversionOutput

    func run() throws {
        try output.check()
        var options = ServiceUnits.Options()
        (options.prefix, options.only, options.hardening) = (output.prefix, only, output.harden)
        let path = ThisProcess.absolute(file)
        let services = try ServiceFile(file)
        do {
            let made = try ServiceUnits(
                services, path: Command.normalized(path), options: options, findExecutable: ExecutableSearch.find(_:in:)
            )
            try output.put(
                Conversion(
                    units: made.units, logrotate: made.logrotate, enabled: made.enabled, findings: made.findings),
                from: Self.snippetName(Command.normalized(path)))
        } catch let error as UnitError { throw UsageError("\(file.asName): \(error)") }
    }

    /// What the snippet for logrotate is called: each file's has a name of its own among those of `/etc/logrotate.d`.
    ///
    /// - Parameter path: the absolute path of the file with services.
    static func snippetName(_ path: String) -> String {
        let parts = path.split(separator: "/")
        let stem = parts.last?.split(separator: ".").first.map(String.init) ?? ""
        // Nearly all such files have the same name, and are told apart by their directories.
        let name = stem == "cgrun" ? parts.dropLast().last.map(String.init) ?? "" : stem
        let plain = name.map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_".contains($0)) ? $0 : "-" }
        return plain.isEmpty ? "cgrun" : "cgrun-" + String(plain)
    }
}
