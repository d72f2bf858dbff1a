/// Sockets that systemd opens and hands to a service: the model of a `.socket` file (systemd.socket(5)).
///
/// The first connection or datagram starts the service, which gets the listening sockets themselves and accepts
/// connections on its own (`Accept=no`). The service may also be started before.
public struct Socket: Equatable, Sendable {
    /// What systemd listens on, in one of these forms:
    ///
    /// - `/run/api.sock`: a socket in the file system, its path absolute and of at most 107 bytes
    /// - `@api`: a socket in Linux's abstract namespace
    /// - `8080`: a port on all addresses, IPv6 and usually IPv4
    /// - `127.0.0.1:8080`, `[::1]:8080`: a port on one IPv4 or IPv6 address
    ///
    /// Every other form is refused, such as a host's name or port 0.
    public enum Address: Equatable, Sendable {
        /// `ListenStream=`: connections, as with TCP.
        case stream(String)
        /// `ListenDatagram=`: single packets, as with UDP.
        case datagram(String)
    }

    /// The file's name; of the kind `socket`.
    public var name: UnitName
    /// Comments at the top of the file, for people, one line each.
    public var header: [String] = []
    /// `Description=`: one line on what the socket is, shown by `systemctl status`.
    public var summary: String
    /// `ListenStream=` and `ListenDatagram=`: what systemd listens on. A socket without an address is no use: systemd
    /// refuses it, and `file()` does not.
    public var addresses: [Address]
    /// `Service=`: the full name of the service that gets the sockets. `nil` for the one with this socket's name,
    /// such as `api.service` for `api.socket`.
    public var service: String?
    /// `Backlog=`: how many connections may wait to be accepted, from 1 to 65535; the kernel lowers more than its
    /// `net.core.somaxconn` to that. `nil` leaves systemd's default.
    public var backlog: Int?
    /// `SocketUser=`: who owns sockets in the file system, by name or number. `nil` leaves them to root, or to the
    /// user whose own systemd it is.
    public var user: String?
    /// `SocketGroup=`: their group, by name or number. `nil` leaves them the user's own group.
    public var group: String?
    /// `SocketMode=`: the mode of sockets in the file system, up to `0o7777`. `nil` leaves systemd's `0666`: everyone
    /// may connect.
    public var mode: UInt16?
    /// What else the socket needs and starts after.
    public var dependencies = Dependencies()
    /// `WantedBy=`: the units, by their full names, that open the socket once `systemctl enable` has run.
    /// `sockets.target`, an early part of every boot, unless others are given.
    public var wantedBy: [String] = ["sockets.target"]

    /// Sockets at these addresses that start with the machine, once enabled, for the service of the same name.
    public init(name: UnitName, summary: String, addresses: [Address]) {
        self.name = name
        self.summary = summary
        self.addresses = addresses
    }

    /// The socket's file, to be put where `UnitFile.path` says. With an address in the file system,
    /// `RemoveOnStop=yes` is in it: the socket goes from there when it is stopped.
    ///
    /// - Throws: for the first value that is refused: an address, a `backlog` or `mode` out of its range, a user or
    ///   group that systemd would not take for one, a name of a unit without its ending, or a `summary` of more than
    ///   one line, with control characters, with a blank at either end or with a backslash at its end.
    public func file() throws(UnitError) -> UnitFile {
        let unit = try UnitFile.Section.unit(summary, dependencies)
        var socket = UnitFile.Section("Socket")
        for address in addresses {
            switch address {
            case .stream(let text): try socket.set(.listenStream, text, Self.check)
            case .datagram(let text): try socket.set(.listenDatagram, text, Self.check)
            }
        }
        // So far, the entries are the addresses.
        let isInFileSystem = socket.entries.contains { $0.value.hasPrefix("/") }
        if let backlog { socket.set(.backlog, String(try Check.range(backlog, 1...65_535, key: "Backlog"))) }
        try socket.set(.socketUser, user, Check.account)
        try socket.set(.socketGroup, group, Check.account)
        try socket.set(.socketMode, mode, Check.mode)
        try socket.set(.service, service, UnitName.checkReference)
        socket.set(.removeOnStop, isInFileSystem ? "yes" : nil)
        return UnitFile(
            path: name.description, header: header, sections: [unit, socket, try .install(wantedBy: wantedBy)])
    }

    /// An address as `ListenStream=` and `ListenDatagram=` take it, unchanged but for doubled `%`.
    private static func check(_ text: String, key: String) throws(UnitError) -> String {
        let refusal = UnitError(key: key, value: text, accepted: "/PATH, @NAME, PORT, IPV4:PORT or [IPV6]:PORT")
        if text.hasPrefix("/") {
            guard text.utf8.count <= 107 else {
                throw UnitError(
                    key: key, value: text, accepted: "a path of at most 107 bytes, the kernel's limit for sockets")
            }
            return try Check.pathLine(text, key: key)
        }
        if text.hasPrefix("@") {
            guard text.utf8.count > 1, text.utf8.count <= 107 else { throw refusal }
            return try Quoting.line(text, key: key)
        }
        let port = text.utf8.lastIndex(of: UInt8(ascii: ":")).map { text[text.utf8.index(after: $0)...] } ?? text[...]
        let host = text.dropLast(port.count)
        guard let number = UInt16(port), number > 0, port.first != "+",
            host.isEmpty || isIPv4(host.dropLast()) || isIPv6(host.dropLast())
        else { throw refusal }
        return text
    }

    /// Whether the text is four numbers up to 255 with dots in between.
    private static func isIPv4(_ text: Substring) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil && $0.first != "+" }
    }

    /// Whether the text looks like an IPv6 address in brackets; systemd reads it more closely.
    private static func isIPv6(_ text: Substring) -> Bool {
        text.hasPrefix("[") && text.hasSuffix("]") && text.count > 3 && text.contains(":")
            && text.dropFirst().dropLast().utf8.allSatisfy { "0123456789abcdefABCDEF:.".utf8.contains($0) }
    }
}
