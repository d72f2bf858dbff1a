internal import CSystemd
internal import Glibc
package import LinuxSystem

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

    /// - Throws: `.noLibrary`, `.unreachable`, `.timedOut`, `.interrupted`.
    package static func connect(
        to address: Address, until deadline: BootTime = .now + patience
    ) throws(BusError) -> Bus {
        let bus = Bus(try Connection(address), address)
        try bus.becomeReady(until: deadline)
        return bus
    }

    private init(_ connection: Connection, _ address: Address) {
        self.connection = connection
        self.address = address
    }

    private func becomeReady(until deadline: BootTime) throws(BusError) {
        var result = library.functions.sd_bus_start(handle)
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
    func send(_ message: borrowing Message) throws(BusError) -> UInt64 {
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
        let cookie = try send(message)
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
        let library = try Library()
        var handle: OpaquePointer?
        var result = library.functions.sd_bus_new(&handle)
        if result >= 0 {
            result = library.functions.sd_bus_set_address(handle, "unix:path=" + Self.escaped(address.socket))
        }
        if result >= 0, address.isDaemon { result = library.functions.sd_bus_set_bus_client(handle, 1) }
        guard result >= 0, let handle else {
            throw BusError(.unreachable, "connect", path: address.socket, result: result)
        }
        self.library = library
        self.handle = handle
    }

    deinit { _ = library.functions.sd_bus_close_unref(handle) }

    /// An address keeps all but these characters for itself.
    private static func escaped(_ path: String) -> String {
        path.utf8.map { byte in
            let plain = isalnum(CInt(byte)) != 0 || "-_/.".utf8.contains(byte)
            if plain { return String(Unicode.Scalar(byte)) }
            let digits = String(byte, radix: 16)
            return "%" + (digits.utf8.count == 1 ? "0" : "") + digits
        }.joined()
    }
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
