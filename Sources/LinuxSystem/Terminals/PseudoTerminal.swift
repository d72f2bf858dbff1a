internal import CLinux
internal import Glibc
package import SandboxValues
internal import SystemPackage

/// A pseudo-terminal: what is written to its master counts as typed, and what the program writes can be read from the
/// master.
///
/// This process keeps the peer open, too. Otherwise reads from the master would fail whenever no process of the program
/// has the peer open. Once the last descriptor of the master is closed, the terminal has hung up: its session gets
/// SIGHUP, reads from the peer end, and writes to it fail.
public struct PseudoTerminal: Sendable {
    /// The master, which never blocks.
    package let reading: SharedDescriptor
    /// The master once more, since an event loop waits for each descriptor once.
    package let writing: SharedDescriptor
    let peer: SharedDescriptor

    /// The size of a terminal in characters. Programs can ask for it, and get SIGWINCH when it changes; it limits
    /// nothing.
    public struct Size: Equatable, Sendable {
        /// Characters in a line.
        public var columns: UInt16
        /// Lines.
        public var rows: UInt16

        /// A size. Programs take 0 for unknown.
        public init(columns: UInt16, rows: UInt16) {
            self.columns = columns
            self.rows = rows
        }

        /// The size of this terminal; `nil` for anything else, and for a terminal that does not know it.
        public init?(of descriptor: CInt) {
            var size = winsize()
            guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
            self.init(columns: size.ws_col, rows: size.ws_row)
        }
    }

    /// What a new terminal is like.
    public struct Settings: Sendable {
        /// The size at the beginning; it can be changed later.
        public var size: Size
        /// Whether what is typed is shown (ECHO), until the program decides otherwise.
        public var echoesInput = true
        /// Whether a program's line feeds are read as carriage return and line feed (OPOST), until the program decides
        /// otherwise.
        public var processesOutput = true
        /// Its other modes, such as keys and line editing; `nil`: those that the kernel gives a new terminal.
        package var modes: TerminalModes?

        /// A terminal as the kernel makes them, of this size.
        public init(columns: UInt16 = 80, rows: UInt16 = 24) { size = Size(columns: columns, rows: rows) }
    }

    /// - Parameter owner: who may open the terminal by its path; `nil` is this process's user.
    /// - Throws: where there is no `/dev/ptmx`, or no terminal left (`/proc/sys/kernel/pty/max`).
    package init(_ settings: Settings, owner: UInt32? = nil) throws(SystemError) {
        let ptmx = "/dev/ptmx"
        reading = SharedDescriptor(try Descriptor(opening: ptmx, O_RDWR | O_NOCTTY | O_NONBLOCK))
        let master = reading.descriptor.rawValue
        var unlocked: CInt = 0
        try checkErrno(ioctl(master, CLINUX_TIOCSPTLCK, &unlocked), "open", path: ptmx)
        // Not by its path: another devpts may be mounted on /dev/pts.
        let end = try checkErrno(
            ioctl(master, CLINUX_TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), "open", path: ptmx)
        peer = SharedDescriptor(Descriptor(owning: end))
        writing = SharedDescriptor(try reading.descriptor.duplicate())
        if let owner {
            try checkErrno(fchown(end, owner, .max), "fchown", path: "/dev/pts")
        }
        guard var modes = settings.modes ?? TerminalModes(of: end) else {
            throw SystemError("tcgetattr", path: "/dev/pts", errno: Errno.current)
        }
        modes.set(echo: settings.echoesInput, outputProcessing: settings.processesOutput)
        try modes.apply(to: end)
        try resize(to: settings.size)
    }

    /// Sets the size. The program gets SIGWINCH if that changes the size.
    package func resize(to size: Size) throws(SystemError) {
        var raw = winsize(ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0)
        try checkErrno(
            ioctl(reading.descriptor.rawValue, UInt(TIOCSWINSZ), &raw), "ioctl(TIOCSWINSZ)",
            value: "\(size.columns)x\(size.rows)")
    }

    /// The modes as the program has set them; `nil` where they cannot be read.
    package var modes: TerminalModes? { TerminalModes(of: reading.descriptor.rawValue) }

    /// The process group that gets the keys' signals.
    package var foregroundGroup: ProcessID { tcgetpgrp(reading.descriptor.rawValue) }

    /// Sends SIGINT, SIGQUIT or SIGTSTP to the foreground, as if the key for this signal had been typed, whichever key
    /// that is.
    package func signal(_ signal: Signal) {
        _ = ioctl(reading.descriptor.rawValue, CLINUX_TIOCSIG, signal.rawValue)
    }

    /// What has to be typed to end the input.
    ///
    /// - Parameter last: the last byte that was typed before. In the middle of a line, typing the key once only ends
    ///   the line.
    package func endOfInput(after last: UInt8?) -> [UInt8] {
        let key = modes?.endOfFile ?? 4
        return last == nil || last == UInt8(ascii: "\n") ? [key] : [key, key]
    }
}
