internal import CLinux
internal import Glibc
package import LinuxSystem
internal import SystemPackage

/// A connection with a service's keeper, which tells the status at once and at every change.
package final class ServiceConnection: Sendable {
    private let socket: Descriptor
    private let coding: ServiceCoding

    /// - Returns: `nil` where there is no keeper.
    init?(_ directory: ServiceDirectory, _ coding: ServiceCoding) throws(SystemError) {
        guard let socket = try directory.connect() else { return nil }
        self.socket = socket
        self.coding = coding
    }

    /// - Returns: whether the keeper is still there to read it.
    package func send(_ request: ServiceRequestKind) -> Bool {
        let bytes = Array(request.rawValue.utf8)
        return clinux_send(socket.rawValue, bytes, bytes.count, nil, 0) >= 0
    }

    /// Readable when there is something to take.
    package var descriptor: CInt { socket.rawValue }

    package enum Taken: Sendable {
        case status(ServiceStatus)
        case nothingYet
        /// The keeper is gone.
        case end
    }

    /// Takes the next status, without waiting.
    package func take() -> Taken {
        while true {
            var bytes = [UInt8](repeating: 0, count: 256 << 10)
            var descriptors = [CInt](repeating: -1, count: Int(GUARD_MAX_DESCRIPTORS))
            var count: CUnsignedInt = 0
            let size = clinux_receive(socket.rawValue, &bytes, bytes.count, &descriptors, &count)
            if size == -Int(EAGAIN) { return .nothingYet }
            guard size > 0 else { return .end }
            if let status = try? coding.decodeStatus(Array(bytes[..<size])) { return .status(status) }
        }
    }

    /// Waits for the next status.
    ///
    /// - Returns: `nil` when the keeper is gone, or after this time.
    package func next(within bound: Duration? = nil) -> ServiceStatus? {
        let deadline = bound.map { BootTime.now + $0 }
        while true {
            switch take() {
            case .status(let status): return status
            case .end: return nil
            case .nothingYet: break
            }
            if let deadline, deadline <= .now { return nil }
            var poller = Poller()
            poller.add(socket.rawValue)
            _ = poller.wait(deadline.map { $0 - .now })
        }
    }

    /// How long a keeper may take to say something: it may have to wait for a launch.
    private static let patience = Duration.seconds(10)

    /// What the keeper says at once.
    ///
    /// - Returns: `nil` when the keeper is gone.
    /// - Throws: `ETIMEDOUT` when it says nothing, since it is stopped, say.
    package func first() throws(SystemError) -> ServiceStatus? {
        let deadline = BootTime.now + Self.patience
        if let status = next(within: Self.patience) { return status }
        guard deadline <= .now else { return nil }
        throw SystemError("recvmsg", path: "the keeper", errno: .timedOut)
    }

    /// Waits until the keeper is gone.
    ///
    /// - Parameter status: what the keeper has said last.
    package func awaitEnd(after status: ServiceStatus?) {
        let deadline = BootTime.now + Self.patience
        while deadline > .now, next(within: deadline - .now) != nil {}
        // Its sockets are closed before it is gone.
        guard let keeper = status?.keeper else { return }
        while deadline > .now, !["Z", "X", nil].contains(ProcessTable.state(keeper)) { Poller.pause(.milliseconds(1)) }
    }
}
