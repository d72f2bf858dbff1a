import CLinux
import Glibc
import LinuxSystem
import TestSupport

/// A terminal with somebody at the keyboard.
final class Terminal {
    private let master: Descriptor
    private let slave: Descriptor
    private(set) var output = ""

    init() throws {
        master = try Descriptor(opening: "/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK)
        var locked: CInt = 0
        var number: CInt = 0
        guard ioctl(master.rawValue, Self.setLock, &locked) == 0, ioctl(master.rawValue, Self.getNumber, &number) == 0
        else { throw TestFailure("no terminal to be had") }
        slave = try Descriptor(opening: "/dev/pts/\(number)", O_RDWR | O_NOCTTY)
    }

    // TIOCSPTLCK and TIOCGPTN, which Swift does not import.
    private static let setLock: UInt = 0x4004_5431
    private static let getNumber: UInt = 0x8004_5430

    /// Starts a program as the leader of a session that this terminal controls.
    func start(_ arguments: [String], _ harness: Harness) throws -> TestProcess {
        try harness.start(
            ["setsid", "--ctty"] + arguments, environment: ["TERM": "dumb", "PS1": "% ", "ENV": ""],
            standardInput: slave.rawValue, standardOutput: slave.rawValue)
    }

    func type(_ text: String) throws {
        try master.write(Array(text.utf8), path: "terminal")
    }

    /// The line is cut. What is left of it is /dev/null.
    func hangUp() {
        guard let null = try? Descriptor(opening: "/dev/null", O_RDWR) else { return }
        _ = dup2(null.rawValue, master.rawValue)
    }

    /// Whether it edits lines and shows what is typed, as terminals do until a program wants keys.
    var editsLines: Bool {
        var modes = termios()
        return tcgetattr(master.rawValue, &modes) == 0 && modes.c_lflag & tcflag_t(ICANON | ECHO) == ICANON | ECHO
            && modes.c_oflag & tcflag_t(OPOST) != 0
    }

    /// Whether Ctrl-C is a signal, and not a key like others.
    var sendsSignals: Bool {
        var modes = termios()
        return tcgetattr(master.rawValue, &modes) == 0 && modes.c_lflag & tcflag_t(ISIG) != 0
    }

    func waitUntilItEditsLines(_ wanted: Bool) throws {
        try eventually("a terminal \(wanted ? "that edits lines" : "for keys only"): \(output)") {
            drain()
            return editsLines == wanted
        }
    }

    func resize(rows: UInt16, columns: UInt16) {
        var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(master.rawValue, UInt(TIOCSWINSZ), &size)
    }

    /// Reads what there is.
    func drain() {
        var bytes = [UInt8](repeating: 0, count: 4096)
        while true {
            let size = read(master.rawValue, &bytes, bytes.count)
            guard size > 0 else { return }
            output += String(decoding: bytes.prefix(size), as: UTF8.self)
        }
    }

    /// Waits for a text and the end of its line: what is typed before that would be shown in the midst of it.
    func waitFor(_ text: String) throws {
        try eventually(within: .seconds(20), "\"\(text)\" on the terminal, which shows \"\(output)\"") {
            drain()
            return output.contains(lineWith: text)
        }
    }

    /// How many lines have this text, be it behind a shell's prompts or among the keys that the terminal shows: it
    /// does so whenever it gets round to it, before a line that the key was answered with or at its end.
    func count(of text: String) -> Int {
        drain()
        return output.split(whereSeparator: \.isNewline).count { Self.withoutKeys($0) == text }
    }

    private static func withoutKeys(_ line: Substring) -> Substring {
        for beginning in ["% ", "^C", "^\\"] where line.hasPrefix(beginning) {
            return withoutKeys(line.dropFirst(beginning.count))
        }
        for end in ["^C", "^\\"] where line.hasSuffix(end) { return withoutKeys(line.dropLast(end.count)) }
        return line
    }
}

extension String {
    /// Whether it has this text, and after it the end of the line.
    fileprivate func contains(lineWith text: String) -> Bool {
        guard let start = offset(of: text) else { return false }
        return utf8.dropFirst(start + text.utf8.count).contains(UInt8(ascii: "\n"))
    }
}

/// Tests with a terminal, a shell on it, and jobs that stop.
protocol UsesTerminal {
    var harness: Harness { get }
    var terminal: Terminal { get }
}

extension UsesTerminal {
    /// An interactive shell that has shown its first prompt.
    func startShell() throws -> TestProcess {
        let shell = try terminal.start(["sh", "-i"], harness)
        try terminal.type("echo shell-$((1+1))\n")
        try terminal.waitFor("shell-2")
        return shell
    }

    /// The states of cgrun and of the command named so.
    func states(_ command: String, besides shell: ProcessID = 0) -> [Character] {
        harness.marker.survivors.filter { ["cgrun", command].contains($0.command) && $0.pid != shell }
            .compactMap { ProcessTable.state($0.pid) }
    }

    func waitUntilStopped(_ command: String, besides shell: ProcessID = 0) throws {
        try eventually("cgrun and \(command) stopped: \(states(command, besides: shell)), \(terminal.output)") {
            terminal.drain()
            let states = states(command, besides: shell)
            return states.count == 2 && states.allSatisfy { $0 == "T" }
        }
    }

    /// Returns once the shell has nothing more to say: its prompt would be in the midst of what is typed next.
    func bringToForeground(_ command: String) throws {
        try terminal.type("fg\n")
        try eventually("cgrun and \(command) running again: \(states(command)), \(terminal.output)") {
            terminal.drain()
            let states = states(command)
            return states.count == 2 && !states.contains("T")
        }
    }
}
