internal import Glibc
public import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// Ties a job's terminal to the standard streams of this process, as ssh does with one far away.
///
/// For programs that are a launcher and nothing else, such as `cgrun`. A terminal on standard input
/// passes every key on, and is restored by `finish` and with this object. Any other input is typed,
/// and its end is typed as the key for it. A standard output that fails, with `EPIPE` for one, hangs
/// the job's terminal up: its session gets SIGHUP.
public final class TerminalRelay {
    /// What the job's terminal is to be like: as that of this process, where there is one. What goes to
    /// a file or a pipe stays as the command writes it, without echo.
    public let settings: PseudoTerminal.Settings
    private let input: Descriptor
    private let output: Descriptor
    /// Whether the output is a terminal.
    private let isShown: Bool
    /// The modes of the terminal on standard input as they were; `nil` for any other input.
    private let modes: TerminalModes?
    /// The standard stream whose size the job's terminal follows.
    private let window: CInt?
    private var passesKeys = false

    /// `nil` before the job, and once it has hung up.
    private var terminal: PseudoTerminal?
    private var inputHasEnded = false
    private var lastTyped: UInt8?
    private var toType: ArraySlice<UInt8> = []
    private var toShow: ArraySlice<UInt8> = []

    /// PIPE_BUF: what a pipe that is ready for writing takes without blocking.
    private static let chunk = 4096

    /// Looks at the standard streams, and changes nothing.
    ///
    /// - Throws: when one of them is closed.
    public init() throws(SystemError) {
        modes = TerminalModes(of: 0)
        isShown = TerminalModes(of: 1) != nil
        window = (CInt(0)...2).first { TerminalModes(of: $0) != nil }
        input = try InheritedDescriptor.duplicate(0)
        // A terminal with room for one byte is ready for writing. Others use the open file that was
        // inherited, and would not expect it to be non-blocking.
        if isShown, let own = try? Descriptor(opening: "/proc/self/fd/1", O_WRONLY | O_NOCTTY | O_NONBLOCK) {
            output = own
        } else {
            output = try InheritedDescriptor.duplicate(1)
        }
        var settings = PseudoTerminal.Settings()
        settings.modes = modes ?? TerminalModes(of: 1)
        settings.size = window.flatMap { PseudoTerminal.Size(of: $0) } ?? settings.size
        settings.echoesInput = modes != nil && isShown
        settings.processesOutput = isShown
        self.settings = settings
    }

    deinit { restore() }

    // MARK: The terminal of this process

    /// Has the terminal on standard input pass every key on. In the background this process is stopped
    /// first (SIGTTOU), like any that wants the terminal, until it is in the foreground or asked to end.
    ///
    /// - Throws: in the background without anybody who could bring this process to the foreground.
    public func passKeys() throws(SystemError) {
        guard let modes else { return }
        // Left to the kernel, this would go on inside of tcsetattr(3), and no signal could end it.
        guard ThisProcess.awaitForeground(of: 0, by: .terminalOutput) else { return }
        // Others of a pipeline may show things on this terminal meanwhile.
        try modes.forKeysOnly(processesOutput: !isShown).apply(to: 0)
        passesKeys = true
    }

    /// Undoes `passKeys`. In the background the shell has done that already.
    public func restore() {
        guard passesKeys else { return }
        passesKeys = false
        if !ThisProcess.isInBackground(of: 0) { try? modes?.apply(to: 0) }
    }

    /// Whether the terminal on standard input is gone.
    var hasLostTerminal: Bool { modes != nil && TerminalModes(of: 0) == nil }

    /// Passes the size on.
    func adoptSize() {
        if let size = window.flatMap({ PseudoTerminal.Size(of: $0) }) { try? terminal?.resize(to: size) }
    }

    // MARK: The job's terminal

    func attach(_ terminal: PseudoTerminal?) {
        self.terminal = terminal
        // It may have changed since the start.
        adoptSize()
    }

    /// Hangs the job's terminal up: its session gets SIGHUP.
    func hangUp() {
        terminal = nil
        (toType, toShow) = ([], [])
    }

    func signal(_ signal: Signal) { terminal?.signal(signal) }

    var foregroundGroup: ProcessID? { terminal?.foregroundGroup }

    // MARK: Relaying

    /// Three places.
    func add(to poller: inout Poller) {
        var interest: Poller.Interest = []
        if toShow.isEmpty { interest.insert(.reading) }
        if !toType.isEmpty { interest.insert(.writing) }
        poller.add(terminal == nil || inputHasEnded || !toType.isEmpty ? -1 : input.rawValue)
        poller.add(interest.isEmpty ? -1 : terminal?.reading.descriptor.rawValue ?? -1, for: interest)
        poller.add(toShow.isEmpty ? -1 : output.rawValue, for: .writing)
    }

    /// Moves what can be moved without waiting.
    ///
    /// - Parameter ready: of the three places.
    /// - Returns: the signals that the terminal sends on account of it.
    func act(_ ready: ArraySlice<Bool>) -> [Signal] {
        let ready = Array(ready)
        var signals: [Signal] = []
        let wasThere = terminal != nil
        if ready[2] { show() }
        if ready[1] {
            type()
            _ = takeOutput()
        }
        if ready[0], terminal != nil { signals = takeInput() }
        return signals + (wasThere && terminal == nil ? [.hangUp] : [])
    }

    private func takeInput() -> [Signal] {
        switch input.readSome(Self.chunk) {
        case .bytes(let bytes):
            toType = bytes[...]
            lastTyped = bytes.last
            let signals = modes == nil ? [] : terminal?.modes?.signals(of: bytes) ?? []
            type()
            return signals
        case .nothingYet: break
        case .end where modes != nil: hangUp()
        case .end:
            inputHasEnded = true
            toType = (terminal?.endOfInput(after: lastTyped) ?? [])[...]
        }
        return []
    }

    private func type() {
        guard !toType.isEmpty, let terminal else { return }
        // A terminal that does not take it any more has nobody who would read it.
        toType = toType.dropFirst((try? terminal.writing.descriptor.writeSome(toType)) ?? toType.count)
    }

    /// - Returns: whether there is something to show.
    private func takeOutput() -> Bool {
        guard toShow.isEmpty else { return true }
        switch terminal?.reading.descriptor.readSome(Self.chunk) {
        case .bytes(let bytes): toShow = bytes[...]
        // Hung up from inside (vhangup), whatever is open here.
        case .end: hangUp()
        case .nothingYet, nil: break
        }
        return !toShow.isEmpty
    }

    private func show() {
        do throws(SystemError) {
            toShow = toShow.dropFirst(try output.writeSome(toShow.prefix(Self.chunk)))
        } catch {
            hangUp()
        }
    }

    /// Shows what the terminal still holds once the tree is gone, and restores the own terminal.
    ///
    /// A reader that takes its time is waited for, as any program would. A signal or the loss of the
    /// parent ends that.
    ///
    /// - Parameters:
    ///   - signals: as for `supervise`.
    ///   - parent: as for the launch.
    ///   - patience: how long a reader that takes nothing is waited for; `nil` is for ever.
    public func finish(_ signals: SignalForwarder, parent: ParentWatch?, patience: Duration?) {
        // Ctrl-C is a signal again.
        if !isShown { restore() }
        var left = OutputChannel.mostAfterEnd
        while !toShow.isEmpty || left > 0 && takeOutput() {
            var poller = Poller()
            poller.add(output.rawValue, for: .writing)
            poller.add(signals.source.descriptor.rawValue)
            poller.add(parent?.descriptor ?? -1)
            let ready = poller.wait(patience)
            if ready[0] {
                left -= toShow.count
                show()
            }
            if !ready.contains(true) || ready[2] || ready[1] && signals.endIsRequested() { break }
        }
        hangUp()
        restore()
    }
}

extension SignalForwarder {
    /// Whether one of the signals that have arrived asks this process to end.
    fileprivate func endIsRequested() -> Bool {
        var isRequested = false
        while let received = source.next() {
            if Signal.requestsToEnd.contains(received.signal) { isRequested = true }
        }
        return isRequested
    }
}

extension LaunchedJob {
    /// Acts on what arrived at this process. The command is in a session of its own: what a shell or
    /// this process's terminal sends reaches it from here or not at all.
    ///
    /// - Parameter arrived: all that arrived with it.
    func pass(
        _ received: SignalDescriptor.Received, of arrived: [SignalDescriptor.Received], by relay: TerminalRelay
    ) {
        switch received.signal {
        case .windowChange: relay.adoptSize()
        case .terminalStop: stopCommand()
        case .interrupt where received.isFromKernel, .quit where received.isFromKernel:
            relay.signal(received.signal)
            driver.note(fromTerminal: [received.signal])
        case .continue:
            // In the background this stops right here, and the command with it. But one that is
            // asked to end does not need the terminal any more.
            let isAskedToEnd = arrived.contains { Signal.requestsToEnd.contains($0.signal) }
            if !driver.isBeingStopped, !isAskedToEnd { try? relay.passKeys() }
            relay.adoptSize()
            driver.sendToGroup(.continue)
            driver.note(forwarded: .continue)
        case .hangUp where relay.hasLostTerminal:
            relay.hangUp()
            driver.note(forwarded: .hangUp)
        case let signal: try? driver.pass(signal)
        }
    }

    /// - Parameter signals: those that the command's own terminal has sent.
    func note(_ signals: [Signal], from relay: TerminalRelay) {
        driver.note(fromTerminal: signals.filter { $0 != .terminalStop })
        // A process group that nobody outside it in its session could continue is not stopped by the
        // kernel for a terminal, and the command's own is such an orphan: its parent is this process.
        guard signals.contains(.terminalStop), relay.foregroundGroup == pid,
            !ProcessTable.ignores(.terminalStop, pid)
        else { return }
        stopCommand(afterMoment: true)
    }

    /// - Parameter afterMoment: whether what the command does about the key comes first.
    func stopCommand(afterMoment: Bool = false) {
        if afterMoment {
            var moment = Poller()
            _ = moment.wait(.milliseconds(20))
        }
        hasStoppedCommand = true
        driver.sendToGroup(.stop)
    }

    /// Stops this process after the command, with its terminal as it was found.
    func stop(with relay: TerminalRelay?) {
        relay?.restore()
        let wasContinued = ThisProcess.stop(by: .terminalStop)
        if !wasContinued {
            // Without a shell that could continue them, keys stop neither.
            try? relay?.passKeys()
            if hasStoppedCommand { driver.sendToGroup(.continue) }
        }
        hasStoppedCommand = false
    }
}
