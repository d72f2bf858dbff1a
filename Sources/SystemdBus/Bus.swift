internal import CSystemd
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// A connection to a service manager. It asks one question after the other, and waits a bounded time for each answer.
///
/// Only one thread may use it. It is closed when its owner ends.
package struct Bus: ~Copyable {
    package let address: Address
    private let library: Library
    private let handle: OpaquePointer
    /// Whether a signal that asks this process to end, and is blocked, ends a wait.
    var isInterruptible = true

    /// How to reach a manager.
    package struct Address: Sendable, Equatable {
        /// A manager's own socket, or that of a D-Bus daemon.
        package let socket: String
        /// Whether the socket is a D-Bus daemon's, which passes on only the signals that it is asked for.
        let isDaemon: Bool
    }

    /// How long the manager may take, in the worst case, to do one thing that it is asked for.
    package static let patience = Duration.seconds(30)

    /// Connects, but does not wait until the manager is ready to be asked, which takes more than a millisecond: the
    /// caller may have something else to do meanwhile. The first call waits.
    ///
    /// - Throws: `.unreachable`, `.noLibrary`.
    package init(to address: Address) throws(BusError) {
        // Connected before the library is loaded, so that the manager gets ready meanwhile.
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
            // From now on the bus owns the socket and closes it.
            _ = socket.giveUp()
            if address.isDaemon { result = functions.sd_bus_set_bus_client(handle, 1) }
            if result >= 0 { result = functions.sd_bus_start(handle) }
        }
        guard result >= 0, let handle else {
            _ = functions.sd_bus_close_unref(handle)
            throw BusError(.unreachable, "connect", path: address.socket, result: result)
        }
        self.address = address
        self.library = library
        self.handle = handle
    }

    deinit { _ = library.functions.sd_bus_close_unref(handle) }

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

    /// A call with these arguments, to which others may be appended.
    func newCall(_ target: Message.Target, _ member: String, _ arguments: String...) throws(BusError) -> Message {
        var message: OpaquePointer?
        let result = library.functions.sd_bus_message_new_method_call(
            handle, &message, target.destination, target.path, target.interface, member)
        guard result >= 0, let message else { throw BusError(.malformed, member, result: result) }
        let call = Message(library, owning: message, member: member)
        for argument in arguments { try call.append(argument) }
        return call
    }

    /// - Returns: the cookie that the answer will refer to.
    func send(_ message: borrowing Message, until deadline: BootTime) throws(BusError) -> UInt64 {
        // Otherwise the library would wait for the connection, but without a bound.
        try becomeReady(until: deadline)
        var cookie: UInt64 = 0
        let result = library.functions.sd_bus_send(handle, message.handle, &cookie)
        guard result >= 0 else { throw BusError(.unreachable, message.member, path: address.socket, result: result) }
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

    /// The next message that `isWanted`; messages before it are dropped.
    func receive(
        _ operation: String, until deadline: BootTime, _ isWanted: (borrowing Message) -> Bool
    ) throws(BusError) -> Message {
        while true {
            var received: OpaquePointer?
            let result = library.functions.sd_bus_process(handle, &received)
            guard result >= 0 else { throw BusError(.unreachable, operation, path: address.socket, result: result) }
            if let received {
                let message = Message(library, owning: received, member: operation)
                if isWanted(message) { return message }
            } else if result == 0 {
                try wait(operation, until: deadline)
            }
        }
    }

    /// Waits until the connection has something to do.
    private func wait(_ operation: String, until deadline: BootTime) throws(BusError) {
        while true {
            let arrived = SignalSet.pending
            if isInterruptible, Signal.requestsToEnd.contains(where: { arrived.contains($0) }) {
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
            // Wakes now and then, to see whether a signal asks this process to end.
            if poller.wait(min(left, .milliseconds(100)))[0] { return }
        }
    }
}
