internal import Glibc
package import SandboxValues
internal import SystemPackage

/// The modes of a terminal (termios).
package struct TerminalModes: Sendable {
    private var raw: termios

    /// `nil` for what is no terminal.
    package init?(of descriptor: CInt) {
        raw = termios()
        guard tcgetattr(descriptor, &raw) == 0 else { return nil }
    }

    /// These modes, but every key arrives as it is and at once, and every byte is shown as it is (cfmakeraw(3)).
    ///
    /// - Parameter processesOutput: whether line feeds go on being shown as new lines.
    package func forKeysOnly(processesOutput: Bool) -> TerminalModes {
        var result = self
        cfmakeraw(&result.raw)
        if processesOutput { result.raw.c_oflag = raw.c_oflag }
        return result
    }

    package mutating func set(echo: Bool, outputProcessing: Bool) {
        if !echo { raw.c_lflag &= ~tcflag_t(ECHO) }
        if !outputProcessing { raw.c_oflag &= ~tcflag_t(OPOST) }
    }

    /// Sets the modes at once. The kernel stops a process in the background that does this (SIGTTOU).
    package func apply(to descriptor: CInt) throws(SystemError) {
        var modes = raw
        while tcsetattr(descriptor, TCSANOW, &modes) != 0 {
            guard errno == EINTR else { throw SystemError("tcsetattr", errno: Errno.current) }
        }
    }

    package var processesOutput: Bool { raw.c_oflag & tcflag_t(OPOST) != 0 }

    var endOfFile: UInt8 { key(VEOF) }

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
