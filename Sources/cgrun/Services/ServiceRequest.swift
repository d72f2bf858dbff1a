internal import CgroupSandbox
internal import LinuxSystem
internal import SandboxValues
internal import Services

/// What one `cgrun service start` is to do.
struct ServiceRequest {
    let name: ServiceName
    /// `nil`: as the service was started before.
    let spec: ServiceSpec?

    /// Options of `cgrun run` that mean nothing for a service.
    static let refused: [RunSetting: String] = [
        .dieWithParent: "a service outlives whoever has started it",
        .noDieWithParent: "a service outlives whoever has started it",
        .pty: "a service has no terminal", .report: "cgrun service status --json tells it",
        .reportFD: "cgrun service status --json tells it", .quiet: "there is nothing to leave out",
        .verbose: "cgrun service status tells it", .dryRun: "cgrun --dry-run shows the same limits",
        .unit: "systemd knows a service as cgrun-svc-NAME.service",
    ]

    /// - Parameter words: what follows `cgrun service start`.
    /// - Throws: `RunRequest.UnknownOption` for a name that is in no grammar, `UsageError` for everything else.
    init(parsing words: ArraySlice<ByteString>) throws {
        var rest = words
        guard let first = rest.popFirst(), first.bytes.first != UInt8(ascii: "-") else {
            if let first = words.first, first != "--" { throw RunRequest.UnknownOption(name: first.description) }
            throw UsageError("no name given; expected cgrun service start NAME [options] -- command [argument…]")
        }
        do { name = try ServiceName(first.description) } catch {
            throw UsageError("cgrun service start \(first.description.asName): expected \(error.accepted)")
        }
        guard !rest.isEmpty else {
            spec = nil
            return
        }
        var settings: [(ServiceSetting, String)] = []
        var run: [ByteString] = []
        while let word = rest.first, word.bytes.first == UInt8(ascii: "-"), word.bytes.count > 1 {
            rest.removeFirst()
            if word == "--" { break }
            if let (setting, value) = try Self.setting(word, &rest) {
                settings.append((setting, value))
            } else {
                run.append(word)
                if Self.wantsValue(word), let value = rest.popFirst() { run.append(value) }
            }
        }
        var spec = ServiceSpec(name, try Self.launch(run, command: rest))
        for (setting, text) in settings {
            do { try setting.apply(text, to: &spec) } catch {
                throw UsageError("--\(setting.rawValue) \(text): expected \(error.accepted)")
            }
        }
        try Self.check(spec, settings.map(\.0))
        self.spec = spec
    }

    /// Refuses what only several settings together have wrong.
    private static func check(_ spec: ServiceSpec, _ settings: [ServiceSetting]) throws(UsageError) {
        guard spec.log.isJournal else { return }
        for setting in [ServiceSetting.logMax, .logKeep] where settings.contains(setting) {
            throw UsageError("--\(setting.rawValue) is for files, and not for --log journal; journald.conf bounds that")
        }
        if case .log = spec.readiness {
            throw UsageError("--ready log=… looks into a file; expected another --ready, or no --log journal")
        }
    }

    private static func launch(_ options: [ByteString], command: ArraySlice<ByteString>) throws -> LaunchSpec {
        let request = try RunRequest(parsing: options + ["--"] + command)
        for setting in RunSetting.allCases where options.contains(where: { names($0, setting) }) {
            if let reason = refused[setting] {
                throw UsageError("--\(setting.rawValue) is not for services: \(reason)")
            }
        }
        var launch = request.spec
        if launch.unit.properties.contains(where: { $0.name == "OOMPolicy" }) {
            throw UsageError("--property OOMPolicy is not for services: the keeper decides what an OOM kill means")
        }
        launch.diesWithParent = false
        launch.closesDescriptors = true
        launch.job.keepsIgnoredSignals = false
        return launch
    }

    private static func names(_ word: ByteString, _ setting: RunSetting) -> Bool {
        let text = word.description
        if text == "--" + setting.rawValue || text.hasPrefix("--\(setting.rawValue)=") { return true }
        return setting.short.map { text.hasPrefix("-\($0)") } ?? false
    }

    private static func setting(
        _ word: ByteString, _ rest: inout ArraySlice<ByteString>
    ) throws(UsageError) -> (ServiceSetting, String)? {
        let text = word.description
        guard text.hasPrefix("--") else { return nil }
        let parts = text.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let setting = ServiceSetting(rawValue: String(parts[0])) else { return nil }
        if parts.count == 2 { return (setting, String(parts[1])) }
        guard let value = rest.popFirst(), value != "--" else {
            throw UsageError("--\(setting.rawValue) needs a value: <\(setting.valueName)>")
        }
        return (setting, value.description)
    }

    /// Whether the value of an option of `cgrun run` is the next word.
    private static func wantsValue(_ word: ByteString) -> Bool {
        let text = word.description
        if text.hasPrefix("--") {
            return !text.contains("=") && RunOption.named(text.dropFirst(2))?.valueName != nil
        }
        let letters = Array(text.dropFirst())
        let place = letters.firstIndex { RunOption.abbreviated($0)?.valueName != nil }
        return place == letters.count - 1
    }
}
