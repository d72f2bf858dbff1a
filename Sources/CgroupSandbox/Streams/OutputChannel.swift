internal import LinuxSystem

/// This program's end of a job's standard output or error.
final class OutputChannel: Sendable {
    enum Mode: Sendable {
        /// Read at once, and kept up to a number of bytes.
        case capture(limit: Int)
        /// Read when somebody asks: until then a full pipe makes the job wait.
        case sequence
    }

    private let loop: EventLoop
    private let state: Locked<State>

    private struct State {
        /// `nil` once nothing more will come.
        var descriptor: SharedDescriptor?
        var mode: Mode
        var bytes: [UInt8] = []
        var isTruncated = false
        var watch: EventLoop.Watch?
        var isOver = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    /// As much as a pipe holds.
    private static let chunk = 65_536
    /// How much is read at most after the job's end, since writers that never belonged to the job might go on for ever:
    /// as much as the largest pipe of an ordinary user holds, and more than a terminal does.
    static let mostAfterEnd = 1 << 20

    init(_ descriptor: SharedDescriptor, _ mode: Mode, _ loop: EventLoop) {
        self.loop = loop
        state = Locked(State(descriptor: descriptor, mode: mode))
    }

    /// What was kept, once the job is over.
    var captured: (bytes: [UInt8], isTruncated: Bool) { state.withLock { ($0.bytes, $0.isTruncated) } }

    func begin() {
        state.withLock { state in
            if case .capture = state.mode { watch(&state) }
        }
    }

    /// Reads on and drops what nobody asks for any more, so that the job does not wait.
    func discardRest() {
        state.withLock { state in
            guard case .sequence = state.mode else { return }
            state.mode = .capture(limit: 0)
            if state.watch == nil { watch(&state) }
        }
    }

    /// The job is over: takes what is in the pipe, and waits for nobody who still holds the other end.
    func end() {
        state.withLock { state in
            state.isOver = true
            guard case .capture = state.mode else { return }
            var left = Self.mostAfterEnd
            while left > 0, let descriptor = state.descriptor {
                let result = descriptor.descriptor.readSome(min(Self.chunk, left))
                guard case .bytes(let bytes) = result else { break }
                keep(bytes, &state)
                left -= bytes.count
            }
            close(&state)
        }
        wake()
    }

    // MARK: Capturing

    private func watch(_ state: inout State) {
        guard let descriptor = state.descriptor else { return }
        state.watch = try? loop.watch(descriptor.descriptor.rawValue, for: .reading) { self.readable() }
    }

    private func readable() {
        let isCapturing = state.withLock { state in
            guard case .capture = state.mode else { return false }
            switch state.descriptor?.descriptor.readSome(Self.chunk) {
            case .bytes(let bytes): keep(bytes, &state)
            case .nothingYet: break
            case .end, nil: close(&state)
            }
            return true
        }
        if !isCapturing { wake() }
    }

    private func keep(_ bytes: [UInt8], _ state: inout State) {
        guard case .capture(let limit) = state.mode else { return }
        let room = max(0, limit - state.bytes.count)
        if state.bytes.isEmpty, bytes.count <= room { state.bytes = bytes } else { state.bytes += bytes.prefix(room) }
        if bytes.count > room { state.isTruncated = true }
    }

    private func close(_ state: inout State) {
        loop.unwatch(state.watch.take())
        state.descriptor = nil
    }

    // MARK: Sequence

    /// - Returns: `nil` at the end, and when the task is cancelled.
    func next() async -> [UInt8]? {
        while !Task.isCancelled {
            let result = state.withLock { state -> Descriptor.ReadResult in
                guard case .sequence = state.mode, let descriptor = state.descriptor else { return .end }
                let result = descriptor.descriptor.readSome(Self.chunk)
                switch result {
                case .nothingYet where state.isOver: break
                case .end: break
                default: return result
                }
                close(&state)
                return .end
            }
            switch result {
            case .bytes(let bytes): return bytes
            case .end: return nil
            case .nothingYet: await waitUntilReadable()
            }
        }
        return nil
    }

    private func waitUntilReadable() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    guard !state.isOver else { return true }
                    state.waiters.append(continuation)
                    if state.watch == nil { watch(&state) }
                    return false
                }
                if isOver { continuation.resume() } else if Task.isCancelled { wake() }
            }
        } onCancel: {
            wake()
        }
    }

    private func wake() {
        let waiters = state.withLock { state in
            if case .sequence = state.mode { loop.unwatch(state.watch.take()) }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
