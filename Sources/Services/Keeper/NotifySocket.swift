internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// The socket by which a service says that it is ready, or alive, as sd_notify(3) has it.
struct NotifySocket: ~Copyable {
    let socket: SharedDescriptor
    /// What the service finds in `NOTIFY_SOCKET`.
    let variable: String

    /// How many messages are read before others have their turn. Anybody may send some, and no more than these wait.
    private static let mostMessages = 1024

    /// A socket whose name is not a file's: the service may run as a user who cannot enter the service's directory.
    init() throws(SystemError) { try self.init("@cgrun-notify-\(Machine.randomHexadecimal())") }

    /// - Parameter variable: the name, with an `@` before it.
    /// - Throws: `EADDRINUSE` for a name that somebody has.
    init(_ variable: String) throws(SystemError) {
        let name = String(variable.dropFirst())
        socket = SharedDescriptor(Descriptor(owning: try check(clinux_listen_notices(name), "bind", path: variable)))
        self.variable = variable
    }

    /// The socket of an earlier keeper.
    init(_ socket: SharedDescriptor, variable: String) {
        self.socket = socket
        self.variable = variable
    }

    var descriptor: CInt { socket.descriptor.rawValue }

    /// What a service has said.
    struct Notices {
        /// `READY=1`.
        var isReady = false
        /// `WATCHDOG=1`.
        var isAlive = false
        /// `WATCHDOG=trigger`.
        var isUnwell = false
    }

    /// Reads what there is.
    ///
    /// - Parameter isMember: whether a process may speak for the service.
    func take(_ isMember: (ProcessID) -> Bool) -> Notices {
        var notices = Notices()
        for _ in 0..<Self.mostMessages {
            var bytes = [UInt8](repeating: 0, count: 4096)
            var sender: pid_t = 0
            let size = clinux_receive_notice(descriptor, &bytes, bytes.count, &sender)
            guard size >= 0 else { break }
            let lines = String(decoding: bytes[..<size], as: UTF8.self).split(separator: "\n")
            let known = lines.filter { ["READY=1", "WATCHDOG=1", "WATCHDOG=trigger"].contains($0) }
            guard !known.isEmpty, isMember(sender) else { continue }
            notices.isReady = notices.isReady || known.contains("READY=1")
            notices.isAlive = notices.isAlive || known.contains("WATCHDOG=1")
            notices.isUnwell = notices.isUnwell || known.contains("WATCHDOG=trigger")
        }
        return notices
    }
}
