internal import Glibc
public import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// Connects a job's terminal with the standard streams of this process, as ssh does with a remote terminal.
///
/// For programs that are a launcher and nothing else, such as `cgrun`. A terminal on standard input passes every key
/// on; `finish` and the end of this object restore it. Any other input is typed on the job's terminal, and its end as
/// the key for the end of input. If a write to standard output fails, as with `EPIPE`, the job's terminal hangs up: its
/// session gets SIGHUP.
public final class TerminalRelay {
    /// The settings of the job's terminal: those of this process's terminal, where there is one. What goes to a file or
    /// a pipe stays as the command writes it, without echo.
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
    private var keepsKeys = false

    /// `nil` before the job starts, and once its terminal has hung up.
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
        // A terminal with room for one byte counts as ready for writing, so writes must not block. It is opened anew,
        // since others use the inherited open file, and do not expect it to be non-blocking.
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

    /// Has the terminal on standard input pass every key on. In the background this process is stopped first (SIGTTOU),
    /// like any that changes its terminal, until it is in the foreground or asked to end.
    ///
    /// - Throws: when this process is in the background, and nobody could bring it to the foreground.
    public func passKeys() throws(SystemError) {
        guard let modes else { return }
        // In the background, tcsetattr(3) would be stopped again and again, and no signal could end that.
        guard ThisProcess.awaitForeground(of: 0, by: .terminalOutput) else { return }
        // If the output is not shown here, other programs of a pipeline may show theirs on this terminal meanwhile.
        try modes.forKeysOnly(processesOutput: !isShown).apply(to: 0)
        passesKeys = true
    }

    /// Undoes `passKeys`. In the background the shell has done that already.
    public func restore() {
        guard passesKeys else { return }
        passesKeys = false
        if !ThisProcess.isInBackground(of: 0) { try? modes?.apply(to: 0) }
    }

    /// Has the terminal send this process the signals of keys again, once the command is gone that they were for. What is
    /// shown stays as the job writes it.
    func keepKeys() {
        guard passesKeys, !keepsKeys, var modes, !ThisProcess.isInBackground(of: 0) else { return }
        keepsKeys = true
        modes.set(echo: true, outputProcessing: !isShown)
        try? modes.apply(to: 0)
    }

    /// Whether the terminal on standard input is gone.
    var hasLostTerminal: Bool { modes != nil && TerminalModes(of: 0) == nil }

    /// Gives the job's terminal the size of this process's terminal.
    func adoptSize() {
        if let size = window.flatMap({ PseudoTerminal.Size(of: $0) }) { try? terminal?.resize(to: size) }
    }

    // MARK: The job's terminal

    func attach(_ terminal: PseudoTerminal?) {
        self.terminal = terminal
        // The size may have changed since `settings` were made.
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

    /// Adds three places: for the input, the job's terminal, and the output.
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
    /// - Parameter ready: which of the three places are ready.
    /// - Returns: the signals that the job's terminal sends because of what was typed.
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
        // If the terminal takes nothing any more, nobody would read the rest.
        toType = toType.dropFirst((try? terminal.writing.descriptor.writeSome(toType)) ?? toType.count)
    }

    /// - Returns: whether there is something to show.
    private func takeOutput() -> Bool {
        guard toShow.isEmpty else { return true }
        switch terminal?.reading.descriptor.readSome(Self.chunk) {
        case .bytes(let bytes): toShow = bytes[...]
        // A process of the job has hung the terminal up (vhangup(2)).
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

    /// Shows what the job's terminal still holds once the tree is gone, and restores the terminal of this process.
    ///
    /// A reader of the output that takes its time is waited for, until a signal asks this process to end or the parent
    /// is lost.
    ///
    /// - Parameters:
    ///   - signals: those that were passed on to the command, as for `LaunchedJob.waitForEnd`.
    ///   - parent: the process whose loss ends the job; `nil` for none.
    ///   - patience: how long a reader that takes nothing is waited for; `nil`: for ever.
    public func finish(_ signals: SignalForwarder, parent: ParentWatch?, patience: Duration?) {
        // From here on Ctrl-C is a signal again, which can end the wait.
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
    /// Acts on a signal to this process, for a command with a terminal of its own. Signals of a shell or of this
    /// process's terminal reach the command only if this process passes them on.
    ///
    /// - Parameter arrived: all signals that have arrived with it.
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
            // If this process was continued in the background, `passKeys` stops it again, and the command stays
            // stopped. A job that is being ended does not need the terminal any more.
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

    /// - Parameter signals: the signals that the command's own terminal has sent.
    func note(_ signals: [Signal], from relay: TerminalRelay) {
        driver.note(fromTerminal: signals.filter { $0 != .terminalStop })
        if signals.contains(.terminalStop), relay.foregroundGroup == pid { stopForKey() }
    }

    /// Stops the command, which has got SIGTSTP, unless it ignores that. First it gets a moment to act on it itself.
    ///
    /// The kernel does not stop an orphaned process group for SIGTSTP, and the command's group is orphaned, since its
    /// parent, this process, is in another session.
    func stopForKey() {
        guard !ProcessTable.ignores(.terminalStop, pid) else { return }
        Poller.pause(.milliseconds(20))
        stopCommand()
    }

    private func stopCommand() {
        hasStoppedCommand = true
        driver.sendToGroup(.stop)
    }

    /// Stops this process, since the command has stopped, and first restores its terminal.
    func stop(with relay: TerminalRelay?) {
        relay?.restore()
        let wasContinued = ThisProcess.stop(by: .terminalStop)
        if !wasContinued {
            // No shell could continue this process, so it was not stopped, and the command goes on, too.
            try? relay?.passKeys()
            if hasStoppedCommand { driver.sendToGroup(.continue) }
        }
        hasStoppedCommand = false
    }
}
