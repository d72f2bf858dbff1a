internal import CgroupSandbox
internal import SandboxValues
internal import Services

/// What a table `[service.NAME]` may say. But for a few, its keys are the options of `cgrun service start`, so that there
/// is one grammar for their values.
enum ServiceKey: Equatable {
    case command, directory, environment, environmentFile, requirements, instances
    /// An option of `cgrun service start`, or several of which the table's keys are the ends.
    case option(String)
    /// The value is a command in words, which the option takes as one text.
    case commandOption(String)
    /// `ready = { … }`; the word is what stands before the `=` of `--ready`.
    case readiness(String)

    /// Keys by their names in the file, with a dot in those that are in a table.
    static let all: [String: ServiceKey] = {
        var keys: [String: ServiceKey] = [
            "command": .command, "dir": .directory, "env": .environment, "env-file": .environmentFile,
            "requires": .requirements, "instances": .instances,
            "stop.signal": .option("stop-signal"), "stop.after": .option("kill-after"),
            "stop.mode": .option("kill-mode"), "reload.signal": .option("reload-signal"),
            "reload.command": .commandOption("reload-command"), "log": .option("log"), "log.file": .option("log"),
            "log.max": .option("log-max"), "log.keep": .option("log-keep"),
        ]
        for kind in ["delay", "tcp", "http", "exec", "notify", "log"] { keys["ready.\(kind)"] = .readiness(kind) }
        for kind in LimitKind.all { keys[kind.option] = .option(kind.option) }
        // Every service's descriptors are closed.
        for setting in RunSetting.allCases
        where ServiceRequest.refused[setting] == nil && spelling[setting] == nil && notInFiles[setting] == nil {
            keys[setting.rawValue] = .option(setting.rawValue)
        }
        for setting: ServiceSetting in [
            .restart, .backoff, .healthyAfter, .giveUp, .readyTimeout, .watchdog, .pidFile,
        ] {
            keys[setting.rawValue] = .option(setting.rawValue)
        }
        return keys
    }()

    /// Options that a file does not have, and why.
    private static let notInFiles: [RunSetting: String] = [
        .closeFDs: "it is so for every service",
        .user: "it belongs to cgrun service start alone; uid is the user that the command runs as",
        .system: "it belongs to cgrun service start alone",
    ]

    /// Options that have another name in the file.
    private static let spelling: [RunSetting: String] = [
        .setenv: "env", .workingDirectory: "dir", .stopSignal: "stop.signal", .killAfter: "stop.after",
        .killMode: "stop.mode",
    ]

    /// What is a service's own, and can be no default.
    static let own = ["command", "requires", "instances", "pid-file"]

    /// The keys of a table such as `ready`; none where the name is not that of a table.
    static func keys(in table: String) -> [Substring] {
        all.keys.filter { $0.hasPrefix(table + ".") }.map { $0.dropFirst(table.count + 1) }.sorted()
    }

    /// What to say of a key that is not in `all`.
    static func correction(of name: String) -> String {
        if let setting = RunSetting(rawValue: name) {
            if let reason = notInFiles[setting] { return reason }
            if let spelled = spelling[setting] { return "here it is \(spelled)" }
            if let reason = ServiceRequest.refused[setting] { return "it is not for services: \(reason)" }
        }
        if let setting = ServiceSetting(rawValue: name) {
            let spelled = all.first {
                $0.value == .option(setting.rawValue) || $0.value == .commandOption(setting.rawValue)
            }
            if let spelled { return "here it is \(spelled.key)" }
        }
        if let nearest = NearestName.of(name, among: all.keys) { return "did you mean \(nearest)?" }
        return "expected one of \(all.keys.sorted().joined(separator: ", "))"
    }
}
