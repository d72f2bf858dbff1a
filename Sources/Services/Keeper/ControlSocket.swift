internal import CLinux
internal import LinuxSystem
internal import SystemPackage

/// Those who are connected with a keeper. Each gets the service's status at once and at every change, and may send
/// requests, a word each.
struct ControlSocket: ~Copyable {
    private let listener: Descriptor
    private var clients: [UInt64: Client] = [:]
    private var lastID: UInt64 = 0

    private struct Client {
        let socket: SharedDescriptor
        let watch: EventLoop.Watch
    }

    /// How many may be connected at a time.
    private static let mostClients = 256

    init(_ directory: ServiceDirectory) throws(SystemError) { listener = try directory.listen() }

    var descriptor: CInt { listener.rawValue }

    /// Takes in those who have connected.
    ///
    /// - Parameter hear: called by the loop when there is something to read from the client with this number.
    mutating func accept(_ loop: EventLoop, status: [UInt8], _ hear: @escaping @Sendable (UInt64) -> Void) {
        while true {
            let accepted = clinux_accept(listener.rawValue)
            guard accepted >= 0 else {
                // Without a free descriptor, the loop would call again at once.
                if accepted != -EAGAIN { Poller.pause(.milliseconds(10)) }
                return
            }
            let socket = SharedDescriptor(Descriptor(owning: accepted))
            guard clients.count < Self.mostClients, Self.send(status, to: socket) else { continue }
            lastID += 1
            let id = lastID
            guard let watch = try? loop.watch(accepted, for: .reading, { hear(id) }) else { continue }
            clients[id] = Client(socket: socket, watch: watch)
        }
    }

    /// What a client has asked for; `nil`: nothing more. A client that is gone is forgotten.
    mutating func nextRequest(of id: UInt64, _ loop: EventLoop) -> ServiceRequestKind? {
        while let client = clients[id] {
            var bytes = [UInt8](repeating: 0, count: 64)
            var descriptors = [CInt](repeating: -1, count: Int(GUARD_MAX_DESCRIPTORS))
            var count: CUnsignedInt = 0
            let size = clinux_receive(client.socket.descriptor.rawValue, &bytes, bytes.count, &descriptors, &count)
            for descriptor in descriptors.prefix(Int(count)) { _ = Descriptor(owning: descriptor) }
            if size == -Int(EAGAIN) { return nil }
            guard size > 0 else {
                forget(id, loop)
                return nil
            }
            if let kind = ServiceRequestKind(rawValue: String(decoding: bytes[..<size], as: UTF8.self)) { return kind }
        }
        return nil
    }

    /// Tells all clients the status. One who does not read is forgotten.
    mutating func tellAll(_ status: [UInt8], _ loop: EventLoop) {
        for (id, client) in clients where !Self.send(status, to: client.socket) { forget(id, loop) }
    }

    private mutating func forget(_ id: UInt64, _ loop: EventLoop) {
        if let client = clients.removeValue(forKey: id) { loop.unwatch(client.watch) }
    }

    private static func send(_ bytes: [UInt8], to socket: SharedDescriptor) -> Bool {
        clinux_send(socket.descriptor.rawValue, bytes, bytes.count, nil, 0) >= 0
    }
}

/// What can be asked of a keeper.
package enum ServiceRequestKind: String, Sendable {
    /// Be started now, if it waits to be.
    case start
    case stop
    /// Be stopped, and killed at once.
    case kill
    case restart
    case reload
}
