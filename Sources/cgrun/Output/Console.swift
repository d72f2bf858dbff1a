internal import CgroupSandbox
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// Standard output, to which `print` writes by way of the C library.
enum StandardOutput {
    /// Writes bytes at once, after what `print` has left.
    static func write(_ bytes: [UInt8]) throws(SystemError) {
        try ThisProcess.flushOutput()
        if !bytes.isEmpty { try InheritedDescriptor.duplicate(1).write(bytes, path: "standard output") }
    }

    /// Writes out what `print` has left.
    ///
    /// - Returns: what to end with: the status, or a failure if not everything could be written.
    static func flush(_ status: ExitStatus) -> ExitStatus {
        do throws(SystemError) {
            try ThisProcess.flushOutput()
            return status
        } catch {
            // The reader of a pipe has seen enough. Other programs die of that without a word.
            if error.errno == .brokenPipe { return .signaled(.pipe, coreDumped: false) }
            Console().error("\(error)")
            return .exited(code: 125)
        }
    }
}

/// What cgrun says to people, on stderr, in whole lines.
struct Console {
    var isQuiet = false
    var isVerbose = false

    /// cgrun's own failure: said even with `--quiet`.
    func error(_ message: String) { write(message, colour: "31") }

    func note(_ message: String) { write(message, colour: "2") }

    /// Lines that are not cgrun's own, such as the end of a log.
    func show(_ lines: [String]) {
        let text = Array((lines.joined(separator: "\n") + "\n").utf8)
        _ = text.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }

    func explain(_ report: Report) {
        if !isQuiet, let message = report.message {
            let isWarning = report.launcherExitCode == 0
            write((isWarning ? "warning: " : "") + message, colour: isWarning ? "33" : "31")
        }
        if isVerbose { note(report.usage) }
    }

    /// Whether colours belong on what this descriptor leads to.
    static func isColoured(_ descriptor: CInt) -> Bool {
        isatty(descriptor) == 1 && getenv("NO_COLOR") == nil && ThisProcess.environmentVariable("TERM") != "dumb"
    }

    private func write(_ message: String, colour: String) {
        let name = Self.isColoured(2) ? "\u{1B}[\(colour)mcgrun:\u{1B}[0m" : "cgrun:"
        // One write, so that lines of several cgruns do not mix.
        let end = TerminalModes(of: 2)?.processesOutput == false ? "\r\n" : "\n"
        // Names and values that others chose must neither end the line nor send control characters to the terminal.
        let line = Array("\(name) \(message.inOneLine)\(end)".utf8)
        _ = line.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }
}
