internal import CLinux
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// One attempt to reach a service over the network, in the keeper's loop.
final class NetworkProbe: Sendable {
    private let loop: EventLoop
    /// What is sent once the connection stands; `nil`: the connection is enough.
    private let request: [UInt8]?
    private let answer: Answer
    private let state = Locked(State())

    /// Takes why the service is not ready; `nil`: it is.
    typealias Answer = @Sendable (String?) -> Void

    private struct State: Sendable {
        var socket: SharedDescriptor?
        var watch: EventLoop.Watch?
        var timer: UInt64?
        var received: [UInt8] = []
    }

    /// How long a service may take to answer.
    private static let patience = Duration.seconds(5)
    /// By how many bytes an answer has told its status.
    private static let longestStatusLine = 256

    /// - Parameter answer: called by the loop, once, unless this attempt is cancelled before.
    init(
        _ loop: EventLoop, _ address: String, _ port: UInt16, request: Readiness.HTTPRequest?,
        _ answer: @escaping Answer
    ) {
        self.loop = loop
        self.answer = answer
        self.request = request.map { request in
            Array(
                "GET \(request.path) HTTP/1.0\r\nHost: \(request.host)\r\nUser-Agent: cgrun\r\nConnection: close\r\n\r\n"
                    .utf8)
        }
        let begun = clinux_begin_connection(address, port)
        guard begun >= 0 else {
            setTimer(.zero, Self.refused)
            return
        }
        let socket = SharedDescriptor(Descriptor(owning: begun))
        state.withLock { $0.socket = socket }
        watch(for: .writing) { [weak self] in self?.connected() }
        setTimer(Self.patience, "no answer within \(Self.patience.seconds)s")
    }

    private static let refused = "nothing accepts connections there"

    private func setTimer(_ bound: Duration, _ failure: String) {
        let timer = loop.call(at: .now + bound) { [weak self] in self?.finish(failure) }
        state.withLock { $0.timer = timer }
    }

    deinit { cancel() }

    /// Ends the attempt without an answer.
    func cancel() {
        let last = state.withLock { state in
            defer { state = State() }
            return state
        }
        loop.unwatch(last.watch)
        if let timer = last.timer { loop.cancel(timer) }
    }

    private func finish(_ failure: String?) {
        cancel()
        answer(failure)
    }

    private func watch(for interest: EventLoop.Interest, _ handler: @escaping @Sendable () -> Void) {
        guard let (socket, before) = state.withLock({ state in state.socket.map { ($0, state.watch) } }) else { return }
        loop.unwatch(before)
        let watch = try? loop.watch(socket.descriptor.rawValue, for: interest, handler)
        state.withLock { $0.watch = watch }
    }

    private func connected() {
        guard let socket = state.withLock({ $0.socket }) else { return }
        guard clinux_is_connected(socket.descriptor.rawValue) == 1 else { return finish(Self.refused) }
        guard let request else { return finish(nil) }
        // So short a request fits into the socket.
        guard (try? socket.descriptor.writeSome(request[...])) == request.count else { return finish(Self.refused) }
        watch(for: .reading) { [weak self] in self?.hear() }
    }

    private func hear() {
        guard let socket = state.withLock({ $0.socket }) else { return }
        switch socket.descriptor.readSome(4096) {
        case .nothingYet: return
        case .end: finish(Self.failure(of: state.withLock { $0.received }))
        case .bytes(let bytes):
            let received = state.withLock { state in
                state.received += bytes
                return state.received
            }
            if received.contains(UInt8(ascii: "\n")) || received.count > Self.longestStatusLine {
                finish(Self.failure(of: received))
            }
        }
    }

    /// - Returns: `nil` for an answer that begins with a status from 200 to 399.
    static func failure(of answer: [UInt8]) -> String? {
        let line = String(
            decoding: answer.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }, as: UTF8.self)
        let words = line.split(separator: " ")
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), words[1].utf8.count == 3, let status = Int(words[1])
        else { return "the answer is not HTTP" }
        return (200...399).contains(status) ? nil : "the answer has the status \(status)"
    }
}

extension Readiness {
    /// How long to wait after an attempt that has failed.
    var pause: Duration {
        switch self {
        case .tcp: .milliseconds(100)
        case .http: .milliseconds(200)
        default: .milliseconds(500)
        }
    }

    /// Whether this can be an address of `tcp` or `http`.
    package static func isAddress(_ text: String) -> Bool { clinux_is_address(text) == 1 }
}
