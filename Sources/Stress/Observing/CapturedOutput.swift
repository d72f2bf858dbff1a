internal import CLinux
internal import LinuxSystem

/// What a program writes: read as it comes, so that the program never waits, and kept only in its last part.
final class CapturedOutput: Sendable {
    private let loop: EventLoop
    private let state: Locked<State>

    private struct State {
        /// `nil` once nothing more will come.
        var reading: SharedDescriptor?
        /// For the program, until it has started.
        var writing: SharedDescriptor?
        var watch: EventLoop.Watch?
        /// The last bytes, and more than are kept for a while.
        var bytes: [UInt8] = []
        /// What is looked for in all that comes, until it has come.
        var wanted: [UInt8]?
        /// As many of the last bytes as may be the beginning of what is looked for.
        var carry: [UInt8] = []
    }

    /// As much as a pipe holds.
    private static let chunk = 65_536
    /// How much is kept.
    private static let kept = 65_536
    /// How much is read at once at most, since writers may go on for ever.
    private static let mostAtOnce = 1 << 20

    /// What is written to a pipe.
    ///
    /// - Parameter wanted: what to look for; `nil` for nothing.
    convenience init(_ loop: EventLoop, lookingFor wanted: String?) throws(SystemError) {
        let pipe = try Pipe()
        try pipe.reading.descriptor.setNonblocking()
        try self.init(loop, pipe.reading, writing: pipe.writing, wanted)
    }

    /// What is written to a terminal.
    convenience init(_ loop: EventLoop, _ terminal: PseudoTerminal, lookingFor wanted: String?) throws(SystemError) {
        try self.init(loop, terminal.reading, writing: nil, wanted)
    }

    private init(
        _ loop: EventLoop, _ reading: SharedDescriptor, writing: SharedDescriptor?, _ wanted: String?
    ) throws(SystemError) {
        self.loop = loop
        state = Locked(State(reading: reading, writing: writing, wanted: wanted.map { Array($0.utf8) }))
        let watch = try loop.watch(reading.descriptor.rawValue, for: .reading) { [weak self] in self?.read() }
        state.withLock { $0.watch = watch }
    }

    deinit { close() }

    /// The program's end of the pipe, which the program alone holds from now on.
    func takeWriting() -> SharedDescriptor? { state.withLock { $0.writing.take() } }

    /// Whether what is looked for has been written.
    var hasWanted: Bool {
        state.withLock { state in
            readAll(&state)
            return state.wanted == nil
        }
    }

    /// The last of what has been written up to now.
    var text: String {
        state.withLock { state in
            readAll(&state)
            return String(decoding: state.bytes.suffix(Self.kept), as: UTF8.self)
        }
    }

    /// Whether no writer is left.
    var isOver: Bool {
        state.withLock { state in
            readAll(&state)
            return state.reading == nil
        }
    }

    /// Reads nothing any more.
    func close() { state.withLock { close(&$0) } }

    private func readAll(_ state: inout State) {
        var left = Self.mostAtOnce
        while left > 0, let count = read(&state) { left -= count }
    }

    private func read() { state.withLock { _ = read(&$0) } }

    /// - Returns: how many bytes there were; `nil` for none.
    private func read(_ state: inout State) -> Int? {
        switch state.reading?.descriptor.readSome(Self.chunk) {
        case .bytes(let new):
            look(for: &state, in: new)
            state.bytes += new
            if state.bytes.count > 4 * Self.kept { state.bytes = Array(state.bytes.suffix(Self.kept)) }
            return new.count
        case .nothingYet: return nil
        case .end, nil:
            close(&state)
            return nil
        }
    }

    private func look(for state: inout State, in new: [UInt8]) {
        guard let wanted = state.wanted else { return }
        let all = state.carry + new
        if clinux_contains(all, all.count, wanted, wanted.count) {
            (state.wanted, state.carry) = (nil, [])
        } else {
            state.carry = Array(all.suffix(wanted.count - 1))
        }
    }

    private func close(_ state: inout State) {
        loop.unwatch(state.watch.take())
        state.reading = nil
    }
}
