/// A socket that systemd opens for a service. Model of a `.socket` file.
public struct Socket: Equatable, Sendable {
    public enum Address: Equatable, Sendable {
        /// `/run/api.sock`, `8080`, `127.0.0.1:8080`, `[::1]:8080` or `@abstract`.
        case stream(String)
        case datagram(String)
    }

    public var name: UnitName
    public var header: [String] = []
    public var summary: String
    public var addresses: [Address]
    /// Started by the first connection; `nil` for the service of the same name.
    public var service: String?
    public var backlog: Int?
    public var user: String?
    public var group: String?
    public var mode: UInt16?
    public var dependencies = Dependencies()
    public var wantedBy: [String] = ["sockets.target"]

    public init(name: UnitName, summary: String, addresses: [Address]) {
        self.name = name
        self.summary = summary
        self.addresses = addresses
    }

    public func file() throws(UnitError) -> UnitFile {
        var unit = UnitFile.Section("Unit")
        unit.set(.description, try Quoting.line(summary, key: "Description"))
        try dependencies.write(to: &unit)
        var socket = UnitFile.Section("Socket")
        for address in addresses {
            switch address {
            case .stream(let text): socket.set(.listenStream, try Self.check(text, key: "ListenStream"))
            case .datagram(let text): socket.set(.listenDatagram, try Self.check(text, key: "ListenDatagram"))
            }
        }
        if let backlog { socket.set(.backlog, String(try Check.range(backlog, 1...65_535, key: "Backlog"))) }
        if let user { socket.set(.socketUser, try Check.account(user, key: "SocketUser")) }
        if let group { socket.set(.socketGroup, try Check.account(group, key: "SocketGroup")) }
        if let mode { socket.set(.socketMode, try Check.mode(mode, key: "SocketMode")) }
        if let service { socket.set(.service, try UnitName.checkReference(service, key: "Service")) }
        let isInFileSystem = addresses.contains { address in
            switch address {
            case .stream(let text), .datagram(let text): text.hasPrefix("/")
            }
        }
        socket.set(.removeOnStop, isInFileSystem ? "yes" : nil)
        return UnitFile(
            path: name.description, header: header, sections: [unit, socket, try .install(wantedBy: wantedBy)])
    }

    private static func check(_ text: String, key: String) throws(UnitError) -> String {
        let refusal = UnitError(
            key: key, value: text, accepted: "/PATH, @NAME, PORT, IPV4:PORT or [IPV6]:PORT")
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

    private static func isIPv4(_ text: Substring) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil && $0.first != "+" }
    }

    private static func isIPv6(_ text: Substring) -> Bool {
        text.hasPrefix("[") && text.hasSuffix("]") && text.count > 3 && text.contains(":")
            && text.dropFirst().dropLast().utf8.allSatisfy { "0123456789abcdefABCDEF:.".utf8.contains($0) }
    }
}
