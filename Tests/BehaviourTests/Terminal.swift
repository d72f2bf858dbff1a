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

    func waitFor(_ text: String) throws {
        try eventually(within: .seconds(20), "\"\(text)\" on the terminal, which shows \"\(output)\"") {
            drain()
            return output.contains(text: text)
        }
    }

    func count(of text: String) -> Int {
        drain()
        return output.split(whereSeparator: \.isNewline).filter { $0 == text }.count
    }
}
