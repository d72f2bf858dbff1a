extension ServiceConverter {
    /// The socket unit for `[fcgi-program:x]`, whose processes all get the same socket.
    ///
    /// - Parameters:
    ///   - name: the socket unit's name.
    ///   - service: the full name of the service that a first connection starts.
    mutating func socketFile(_ socket: SupervisorSocket, _ name: UnitName, service: String) throws -> UnitFile {
        var unit = Socket(
            name: name, summary: "socket of \(process.program) (was opened by supervisor)",
            addresses: [.stream(socket.address)])
        unit.header = ["[\(process.section)] of \(process.file)"]
        unit.service = service
        unit.backlog = socket.backlog
        unit.mode = socket.mode
        if socket.address.hasPrefix("/") {
            let owner = socket.owner ?? process.user ?? reader.defaults.user
            let parts = owner?.split(separator: ":", maxSplits: 1).map(String.init) ?? []
            unit.user = parts.first
            unit.group = parts.dropFirst().first
            if parts.count == 1, socket.owner == nil { unit.group = reader.surroundings.primaryGroup(parts[0]) }
        }
        report("socket", .exact, "ListenStream=\(socket.address) in \(name)")
        report("socket_owner", .exact, "SocketUser=, SocketGroup=")
        report("socket_mode", .exact, "SocketMode=")
        report("socket_backlog", .exact, "Backlog=")
        return try unit.file()
    }
}
