internal import CLinux
internal import Glibc
package import SandboxValues
internal import SystemPackage

/// A pseudo-terminal: what is written to its master is typed, and what a program writes is read from there.
///
/// The peer stays open here beside the program: while it is, no read from the master fails because every
/// process of the program has closed its end for the moment. Once the last descriptor of the master
/// is closed, the terminal has hung up: its session gets SIGHUP, its reads end and its writes fail.
public struct PseudoTerminal: Sendable {
    /// The master. Nothing blocks on it.
    package let reading: SharedDescriptor
    /// The master once more, since an event loop waits for each descriptor once.
    package let writing: SharedDescriptor
    let peer: SharedDescriptor

    /// In characters. Programs learn of it, and get SIGWINCH when it changes; it limits nothing.
    public struct Size: Equatable, Sendable {
        /// Characters in a line.
        public var columns: UInt16
        /// Lines.
        public var rows: UInt16

        /// 0 is taken by programs for unknown.
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
        /// Until `resize`.
        public var size: Size
        /// Whether what is typed is shown (ECHO), until the program decides otherwise.
        public var echoesInput = true
        /// Whether programs' line feeds are read as carriage return and line feed (OPOST), likewise.
        public var processesOutput = true
        /// What else it is like: keys, line editing; `nil` is what the kernel begins with.
        package var modes: TerminalModes?

        /// A terminal as the kernel makes them, of this size.
        public init(columns: UInt16 = 80, rows: UInt16 = 24) { size = Size(columns: columns, rows: rows) }
    }

    /// - Parameter owner: who may open the terminal by its path; `nil` is this process's user.
    /// - Throws: where there is no `/dev/ptmx`, or no terminal left (`/proc/sys/kernel/pty/max`).
    package init(_ settings: Settings, owner: UInt32? = nil) throws(SystemError) {
        var ends: (master: CInt, peer: CInt) = (-1, -1)
        _ = try check(clinux_pseudo_terminal(&ends.master, &ends.peer), "open", path: "/dev/ptmx")
        reading = SharedDescriptor(Descriptor(owning: ends.master))
        peer = SharedDescriptor(Descriptor(owning: ends.peer))
        writing = SharedDescriptor(try reading.descriptor.duplicate())
        if let owner {
            try checkErrno(fchown(ends.peer, owner, .max), "fchown", path: "/dev/pts")
        }
        guard var modes = settings.modes ?? TerminalModes(of: ends.peer) else {
            throw SystemError("tcgetattr", path: "/dev/pts", errno: Errno.current)
        }
        modes.set(echo: settings.echoesInput, outputProcessing: settings.processesOutput)
        try modes.apply(to: ends.peer)
        try resize(to: settings.size)
    }

    /// Sets the size. The program gets SIGWINCH if it is another one.
    package func resize(to size: Size) throws(SystemError) {
        var raw = winsize(ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0)
        try checkErrno(
            ioctl(reading.descriptor.rawValue, UInt(TIOCSWINSZ), &raw), "ioctl(TIOCSWINSZ)",
            value: "\(size.columns)x\(size.rows)")
    }

    /// As the program has set them.
    package var modes: TerminalModes? { TerminalModes(of: reading.descriptor.rawValue) }

    /// The process group that gets the keys' signals.
    package var foregroundGroup: ProcessID { tcgetpgrp(reading.descriptor.rawValue) }

    /// Sends SIGINT, SIGQUIT or SIGTSTP to the foreground, as the keys for them do.
    package func signal(_ signal: Signal) {
        _ = clinux_terminal_signal(reading.descriptor.rawValue, signal.rawValue)
    }

    /// What has to be typed to end the input.
    ///
    /// - Parameter last: what was typed before. In the middle of a line, the key ends the line alone.
    package func endOfInput(after last: UInt8?) -> [UInt8] {
        let key = modes?.endOfFile ?? 4
        return last == nil || last == UInt8(ascii: "\n") ? [key] : [key, key]
    }
}

/// The modes of a terminal (termios).
package struct TerminalModes: Sendable {
    private var raw: termios

    /// `nil` for what is no terminal.
    package init?(of descriptor: CInt) {
        raw = termios()
        guard tcgetattr(descriptor, &raw) == 0 else { return nil }
    }

    /// Every key arrives as it is and at once, and every byte is shown as it is.
    ///
    /// - Parameter processesOutput: whether line feeds go on being shown as new lines.
    package func forKeysOnly(processesOutput: Bool) -> TerminalModes {
        var result = self
        cfmakeraw(&result.raw)
        if processesOutput { result.raw.c_oflag = raw.c_oflag }
        return result
    }

    mutating func set(echo: Bool, outputProcessing: Bool) {
        if !echo { raw.c_lflag &= ~tcflag_t(ECHO) }
        if !outputProcessing { raw.c_oflag &= ~tcflag_t(OPOST) }
    }

    /// Sets the modes at once. A process in the background is stopped by that (SIGTTOU).
    package func apply(to descriptor: CInt) throws(SystemError) {
        var modes = raw
        while tcsetattr(descriptor, TCSANOW, &modes) != 0 {
            guard errno == EINTR else { throw SystemError("tcsetattr", errno: Errno.current) }
        }
    }

    package var processesOutput: Bool { raw.c_oflag & tcflag_t(OPOST) != 0 }

    fileprivate var endOfFile: UInt8 { key(VEOF) }

    /// The signals that the kernel makes of these keys.
    package func signals(of keys: some Sequence<UInt8>) -> [Signal] {
        guard raw.c_lflag & tcflag_t(ISIG) != 0 else { return [] }
        let signals = [(key(VINTR), Signal.interrupt), (key(VQUIT), .quit), (key(VSUSP), .terminalStop)]
        // 0 stands for no key.
        return keys.compactMap { typed in signals.first { $0.0 == typed && typed != 0 }?.1 }
    }

    private func key(_ index: CInt) -> UInt8 {
        withUnsafeBytes(of: raw.c_cc) { $0[Int(index)] }
    }
}
