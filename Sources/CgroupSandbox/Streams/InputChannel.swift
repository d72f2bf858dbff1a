internal import LinuxSystem
internal import SystemPackage

/// This program's end of a job's standard input. Writes happen in the event loop's thread, which has SIGPIPE blocked: a
/// job that does not read must not end this program.
final class InputChannel: Sendable {
    private let loop: EventLoop
    private let state: Locked<State>

    private struct State {
        /// `nil` once it is closed.
        var descriptor: SharedDescriptor?
        /// The job's terminal, on which the end of the input is typed; open for no longer than the descriptor.
        var terminal: PseudoTerminal?
        var queue: [Write] = []
        var watch: EventLoop.Watch?
        var isFinished = false
        var last: UInt8?
    }

    private struct Write {
        var rest: ArraySlice<UInt8>
        /// `nil` where nobody waits.
        var continuation: CheckedContinuation<SystemError?, Never>?
    }

    init(_ descriptor: SharedDescriptor, _ loop: EventLoop) {
        self.loop = loop
        state = Locked(State(descriptor: descriptor))
    }

    /// - Parameter text: what is typed first.
    init(_ terminal: PseudoTerminal, typing text: [UInt8], _ loop: EventLoop) {
        self.loop = loop
        state = Locked(State(descriptor: terminal.writing, terminal: terminal))
        guard !text.isEmpty else { return }
        state.withLock { _ = append(Write(rest: text[...]), &$0) }
    }

    private static var closed: SystemError { SystemError("write", path: "standard input", errno: .brokenPipe) }

    /// Returns once the job's pipe has taken everything.
    func write(_ bytes: [UInt8]) async throws(SystemError) {
        let error = await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                append(Write(rest: bytes[...], continuation: continuation), &state)
            }
            if !isOpen { continuation.resume(returning: Self.closed) }
        }
        if let error { throw error }
    }

    /// - Returns: whether the bytes will be written; they are not once the input is closed.
    private func append(_ write: Write, _ state: inout State) -> Bool {
        guard let descriptor = state.descriptor, !state.isFinished else { return false }
        if state.watch == nil {
            state.watch = try? loop.watch(descriptor.descriptor.rawValue, for: .writing) { self.writable() }
        }
        guard state.watch != nil else { return false }
        state.last = write.rest.last ?? state.last
        state.queue.append(write)
        return true
    }

    /// Closes once everything is written.
    func finish() {
        state.withLock { state in
            if let terminal = state.terminal, !state.isFinished {
                _ = append(Write(rest: terminal.endOfInput(after: state.last)[...]), &state)
            }
            state.isFinished = true
            if state.queue.isEmpty { close(&state) }
        }
    }

    /// To be called when the job is over.
    func end() {
        let left = state.withLock { state in
            close(&state)
            defer { state.queue = [] }
            return state.queue
        }
        for write in left { write.continuation?.resume(returning: Self.closed) }
    }

    private func writable() {
        var done: [CheckedContinuation<SystemError?, Never>?] = []
        var failed: SystemError?
        state.withLock { state in
            guard let descriptor = state.descriptor else { return }
            while let first = state.queue.first {
                do throws(SystemError) {
                    let count = try descriptor.descriptor.writeSome(first.rest)
                    state.queue[0].rest = first.rest.dropFirst(count)
                    guard state.queue[0].rest.isEmpty else { break }
                } catch {
                    failed = error
                    break
                }
                done.append(state.queue.removeFirst().continuation)
            }
            if state.queue.isEmpty {
                loop.unwatch(state.watch.take())
                if state.isFinished { close(&state) }
            }
        }
        for continuation in done { continuation?.resume(returning: nil) }
        if failed != nil { end() }
    }

    private func close(_ state: inout State) {
        loop.unwatch(state.watch.take())
        (state.descriptor, state.terminal) = (nil, nil)
    }
}
