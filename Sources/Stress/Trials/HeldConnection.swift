internal import CLinux
internal import Glibc
internal import LinuxSystem

/// A client's connection to a server, which the client never closes in order.
///
/// It ends with a reset, so that nothing of it stays at the server's port (TIME_WAIT) and spoils the next trial.
struct HeldConnection: ~Copyable {
    private let socket: Descriptor

    private init(owning descriptor: CInt) { socket = Descriptor(owning: descriptor) }

    /// - Parameter address: a numeric one.
    /// - Throws: `.notTested` where nobody accepts it.
    static func open(to address: String, _ port: UInt16, within bound: Duration) throws(StressStop) -> HeldConnection {
        let begun = clinux_begin_connection(address, port)
        guard begun >= 0 else { throw .notTested("no connection to \(address):\(port)") }
        let connection = HeldConnection(owning: begun)
        guard connection.isAccepted(within: bound) else { throw .notTested("no connection to \(address):\(port)") }
        return connection
    }

    private func isAccepted(within bound: Duration) -> Bool {
        var reset = linger(l_onoff: 1, l_linger: 0)
        var poller = Poller()
        poller.add(socket.rawValue, for: .writing)
        return setsockopt(socket.rawValue, SOL_SOCKET, SO_LINGER, &reset, socklen_t(MemoryLayout<linger>.size)) == 0
            && poller.wait(bound)[0] && clinux_is_connected(socket.rawValue) == 1
    }

    consuming func close() {}
}
