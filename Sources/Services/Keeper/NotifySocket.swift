internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// The socket by which a service says that it is ready, as sd_notify(3) has it.
struct NotifySocket: ~Copyable {
    let socket: SharedDescriptor
    /// What the service finds in `NOTIFY_SOCKET`.
    let variable: String

    /// How many messages are read before others have their turn.
    private static let mostMessages = 64

    /// A socket whose name is not a file's: the service may run as a user who cannot enter the service's directory.
    init() throws(SystemError) {
        let name = "cgrun-notify-\(Machine.randomHexadecimal())"
        socket = SharedDescriptor(Descriptor(owning: try check(clinux_listen_notices(name), "bind", path: "@\(name)")))
        variable = "@\(name)"
    }

    /// The socket of an earlier keeper.
    init(_ socket: SharedDescriptor, variable: String) {
        self.socket = socket
        self.variable = variable
    }

    var descriptor: CInt { socket.descriptor.rawValue }

    /// Reads what there is.
    ///
    /// - Parameter isMember: whether a process may speak for the service.
    /// - Returns: whether the service has said that it is ready.
    func takeReady(_ isMember: (ProcessID) -> Bool) -> Bool {
        var isReady = false
        for _ in 0..<Self.mostMessages {
            var bytes = [UInt8](repeating: 0, count: 4096)
            var sender: pid_t = 0
            let size = clinux_receive_notice(descriptor, &bytes, bytes.count, &sender)
            guard size >= 0 else { break }
            let lines = String(decoding: bytes[..<size], as: UTF8.self).split(separator: "\n")
            if lines.contains("READY=1"), isMember(sender) { isReady = true }
        }
        return isReady
    }
}
