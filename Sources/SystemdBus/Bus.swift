internal import CSystemd
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// A connection to a service manager, for one question after the other, each within a bounded time.
///
/// For one thread. Closed when its owner ends.
package struct Bus: ~Copyable {
    package let address: Address
    private let connection: Connection
    private var library: Library { connection.library }
    private var handle: OpaquePointer { connection.handle }

    /// How to reach a manager.
    package struct Address: Sendable, Equatable {
        /// A manager's own socket, or that of a D-Bus daemon.
        package var socket: String
        /// A daemon stands between, and wants to be told what to pass on.
        package var isDaemon: Bool

        package init(socket: String, isDaemon: Bool) {
            self.socket = socket
            self.isDaemon = isDaemon
        }
    }

    /// How long the manager may take for one thing that is asked of it, in the worst case.
    package static let patience = Duration.seconds(30)

    /// Connects, and leaves it at that: while the manager gets ready to be asked, which takes it more
    /// than a millisecond, the caller may have something else to do. The first call waits.
    ///
    /// - Throws: `.unreachable`, `.noLibrary`.
    package init(to address: Address) throws(BusError) {
        connection = try Connection(address)
        self.address = address
    }

    private func becomeReady(until deadline: BootTime) throws(BusError) {
        var result: CInt = 0
        while result >= 0 {
            result = library.functions.sd_bus_is_ready(handle)
            if result > 0 { return }
            if result == 0 { result = library.functions.sd_bus_process(handle, nil) }
            if result == 0 { try wait("connect", until: deadline) }
        }
        throw BusError(.unreachable, "connect", path: address.socket, result: result)
    }

    // MARK: Asking

    /// A call to be filled with arguments.
    func newCall(_ target: Message.Target, _ member: String) throws(BusError) -> Message {
        var message: OpaquePointer?
        let result = library.functions.sd_bus_message_new_method_call(
            handle, &message, target.destination, target.path, target.interface, member)
        guard result >= 0, let message else { throw BusError(.malformed, member, result: result) }
        return Message(library, owning: message, member: member)
    }

    /// - Returns: what the answer refers to.
    func send(_ message: borrowing Message, until deadline: BootTime) throws(BusError) -> UInt64 {
        // The library waits as well, but for as long as it takes.
        try becomeReady(until: deadline)
        var cookie: UInt64 = 0
        let result = library.functions.sd_bus_send(handle, message.handle, &cookie)
        guard result >= 0 else {
            throw BusError(.unreachable, message.member, path: address.socket, result: result)
        }
        return cookie
    }

    /// Sends a call and waits for its answer.
    ///
    /// - Throws: `.refused` with the D-Bus error's name and message, or why there is no answer.
    func call(_ message: consuming Message, until deadline: BootTime) throws(BusError) -> Message {
        let cookie = try send(message, until: deadline)
        return try answer(to: cookie, message.member, until: deadline)
    }

    func answer(to cookie: UInt64, _ member: String, until deadline: BootTime) throws(BusError) -> Message {
        let answer = try receive(member, until: deadline) { $0.isReply(to: cookie) }
        try answer.checkForError()
        return answer
    }

    /// The next message that `isWanted`; those before it are let go.
    func receive(
        _ operation: String, until deadline: BootTime, _ isWanted: (borrowing Message) -> Bool
    ) throws(BusError) -> Message {
        while true {
            var received: OpaquePointer?
            let result = library.functions.sd_bus_process(handle, &received)
            guard result >= 0 else {
                throw BusError(.unreachable, operation, path: address.socket, result: result)
            }
            if let received {
                let message = Message(library, owning: received, member: operation)
                if isWanted(message) { return message }
            } else if result == 0 {
                try wait(operation, until: deadline)
            }
        }
    }

    /// Until the connection has something to do.
    private func wait(_ operation: String, until deadline: BootTime) throws(BusError) {
        while true {
            let arrived = SignalSet.pending
            if Signal.requestsToEnd.contains(where: { arrived.contains($0) }) {
                throw BusError(.interrupted, operation, path: address.socket, "interrupted by a signal")
            }
            let left = deadline - .now
            guard left > .zero else {
                throw BusError(
                    .timedOut, operation, path: address.socket, "no answer within \(Self.patience.components.seconds) s"
                )
            }
            var poller = Poller()
            let events = library.functions.sd_bus_get_events(handle)
            poller.add(
                library.functions.sd_bus_get_fd(handle), for: events & POLLOUT != 0 ? [.reading, .writing] : .reading)
            // Looks up now and then, for a signal that asks this process to end.
            if poller.wait(min(left, .milliseconds(100)))[0] { return }
        }
    }
}

/// What a bus owns in libsystemd.
private final class Connection {
    let library: Library
    let handle: OpaquePointer

    init(_ address: Bus.Address) throws(BusError) {
        // Before the library is loaded: from here on the manager is at work, too.
        let socket: Descriptor
        do { socket = try Descriptor(connectingTo: address.socket) } catch {
            throw BusError(.unreachable, "connect", path: address.socket, "\(error.errno)")
        }
        let library = try Library()
        let functions = library.functions
        var handle: OpaquePointer?
        var result = functions.sd_bus_new(&handle)
        if result >= 0 { result = functions.sd_bus_set_fd(handle, socket.rawValue, socket.rawValue) }
        if result >= 0 {
            // The bus closes it from now on.
            _ = socket.giveUp()
            if address.isDaemon { result = functions.sd_bus_set_bus_client(handle, 1) }
            if result >= 0 { result = functions.sd_bus_start(handle) }
        }
        guard result >= 0, let handle else {
            _ = functions.sd_bus_close_unref(handle)
            throw BusError(.unreachable, "connect", path: address.socket, result: result)
        }
        self.library = library
        self.handle = handle
    }

    deinit { _ = library.functions.sd_bus_close_unref(handle) }
}

/// libsystemd, loaded when first needed.
final class Library {
    let functions: csystemd

    init() throws(BusError) {
        let table = UnsafeMutablePointer<csystemd>.allocate(capacity: 1)
        defer { table.deallocate() }
        if let reason = csystemd_load(table) {
            throw BusError(.noLibrary, "dlopen", path: "libsystemd.so.0", String(cString: reason))
        }
        functions = table.pointee
    }
}
