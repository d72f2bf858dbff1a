internal import SandboxValues

/// The grammar of `cgrun run`: every option, once. The parser of the launch path reads these tables, and the
/// ArgumentParser declarations that make help, completions and the manual take their names and texts from them.
enum RunOption: CaseIterable, Hashable {
    case limit(LimitKind)
    case setting(RunSetting)

    static var allCases: [RunOption] {
        LimitKind.all.map { .limit($0) } + RunSetting.allCases.map { .setting($0) }
    }

    static func named(_ name: some StringProtocol) -> RunOption? {
        LimitKind.named(name).map { .limit($0) } ?? RunSetting(rawValue: String(name)).map { .setting($0) }
    }

    static func abbreviated(_ letter: Character) -> RunOption? {
        RunSetting.allCases.first { $0.short == letter }.map { .setting($0) }
    }

    private var words: (name: String, valueName: String?, help: String) {
        switch self {
        case .limit(let kind): (kind.option, kind.valueName, kind.help)
        case .setting(let setting): (setting.rawValue, setting.valueName, setting.help)
        }
    }

    /// The option without its dashes.
    var name: String { words.name }
    /// How the value is called in help; `nil` for a flag.
    var valueName: String? { words.valueName }
    var help: String { words.help }

    /// The option as one letter.
    var short: Character? {
        if case .setting(let setting) = self { setting.short } else { nil }
    }
}

/// The options of `cgrun run` that are not limits.
enum RunSetting: String, CaseIterable {
    case timeout
    case cpuTime = "cpu-time"
    case stopSignal = "stop-signal"
    case killAfter = "kill-after"
    case killMode = "kill-mode"
    case strays
    case waitAll = "wait-all"
    case dieWithParent = "die-with-parent"
    case noDieWithParent = "no-die-with-parent"
    case cgroupManager = "cgroup-manager"
    case cgroupParent = "cgroup-parent"
    case user
    case system
    case slice
    case unit
    case description
    case property
    case report
    case reportFD = "report-fd"
    case setenv
    case workingDirectory = "working-directory"
    case uid
    case gid
    case closeFDs = "close-fds"
    case pty
    case failOnOOM = "fail-on-oom"
    case quiet
    case verbose
    case dryRun = "dry-run"

    /// How the value is called in help; `nil` for a flag.
    var valueName: String? {
        switch self {
        case .reportFD: "n"
        case .timeout, .cpuTime, .killAfter: "duration"
        case .stopSignal: "name"
        case .killMode: "control-group|mixed"
        case .strays: "kill|term"
        case .cgroupManager: "auto|systemd|cgroupfs"
        case .cgroupParent: "path"
        case .slice, .unit: "name"
        case .description: "text"
        case .property: "key=value"
        case .report: "file"
        case .setenv: "k[=v]"
        case .workingDirectory: "dir"
        case .uid: "user"
        case .gid: "group"
        case .waitAll, .dieWithParent, .noDieWithParent, .closeFDs, .pty, .failOnOOM, .user, .system, .quiet, .verbose,
            .dryRun:
            nil
        }
    }

    var short: Character? {
        switch self {
        case .setenv: "E"
        case .workingDirectory: "C"
        case .property: "p"
        case .quiet: "q"
        case .verbose: "v"
        default: nil
        }
    }

    var help: String {
        switch self {
        case .timeout:
            "Wall clock time, suspend included: 500ms, 90s, 5m, 1.5h, 2d. Then the job is stopped, and cgrun exits with 124."
        case .cpuTime: "CPU time of the whole tree. Then as with --timeout."
        case .stopSignal: "First signal at a timeout, or when cgrun gets SIGTERM (default: TERM)."
        case .killAfter:
            "How long the tree may take to end after that, before all that is left is killed (default: 5s)."
        case .killMode:
            "Who gets that signal, and this time: every process (control-group, the default), as with timeout and Ctrl-C; or the command alone (mixed), if it ends its children in its own way."
        case .strays:
            "What becomes of processes that are left when the command has ended: kill (default), or term, which asks them by the stop signal first, and gives them the time of --kill-after."
        case .waitAll:
            "Wait, once the command has ended by itself, until all processes that it left have ended, too."
        case .dieWithParent: "Kill the job when the process that started cgrun is gone (default)."
        case .noDieWithParent: "Let the job outlive the process that started cgrun."
        case .cgroupManager:
            "Who makes the job's cgroup: systemd, as a transient scope; cgroupfs, as a directory below cgrun's own; auto, systemd where it is booted and reachable (default, unless the variable CGRUN_CGROUP_MANAGER says otherwise)."
        case .cgroupParent: "Nest the job's cgroup in this one, as in /proc/PID/cgroup, instead of in cgrun's own."
        case .user: "Ask the caller's own user manager (default but for root). Like all that follow, only with systemd."
        case .system: "Ask the system's manager (default for root)."
        case .slice: "Put the scope into this slice."
        case .unit: "Call the scope so, instead of cgrun-ID. The name can be used again once the job has ended."
        case .description: "What systemctl shows the scope as (default: the command)."
        case .property:
            "Set another property of the scope, spelt as for systemctl set-property, such as IOWeight=50. May be given more than once."
        case .report:
            "Write what became of the job to this file, as JSON, in one step. FIFOs and devices are written to; -, /dev/stdout and /dev/fd/N mean open descriptors."
        case .reportFD: "Write the report to this open descriptor, too."
        case .setenv: "Set an environment variable for the command. May be given more than once."
        case .workingDirectory: "Start the command in this directory."
        case .uid:
            "Run the command as this user, by name or number, with the user's groups. Where that is another user, the command gets a terminal or a session of its own: it cannot type into yours."
        case .gid: "Run the command with this primary group."
        case .closeFDs: "Close all descriptors above 2 instead of handing them down."
        case .pty:
            "Give the command a terminal of its own, as script -q /dev/null -c would. Its errors come out of standard output, too."
        case .failOnOOM:
            "Exit with 137 when the kernel killed any process of the tree for memory, even if the command exits with 0."
        case .quiet: "Do not explain on stderr why the job died."
        case .verbose: "Tell on stderr what is done and what the job used."
        case .dryRun: "Print what would be made and written, in order, and do nothing."
        }
    }
}
