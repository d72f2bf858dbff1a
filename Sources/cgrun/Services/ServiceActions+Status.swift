internal import ArgumentParser
internal import LinuxSystem
internal import SandboxValues
internal import Services

// What is told of services.

extension ServiceActions {
    func status(_ names: [String], isJSON: Bool) throws {
        var code: Int32 = 0
        var statuses: [ServiceStatus] = []
        do {
            let clients = try clients(names)
            let asked = ask(clients)
            try forEach(clients) { client in
                guard let status = try asked[client.name]?.first() ?? client.status() else { throw unknown(client) }
                statuses.append(status)
                if status.state != .running { throw ExitCode(Code.stopped) }
            }
        } catch let exit as ExitCode { code = exit.rawValue }
        if isJSON {
            let data =
                names.count == 1
                ? try statuses.first.map { try ReportOutput.encode($0) } : try ReportOutput.encode(statuses)
            if let data { print(String(decoding: data, as: UTF8.self), terminator: "") }
        } else {
            for status in statuses { print(Self.text(status)) }
        }
        if code != 0 { throw ExitCode(code) }
    }

    /// Connects with all keepers that are there, which then tell how their services stand at the same time.
    private func ask(_ clients: [ServiceClient]) -> [ServiceName: ServiceConnection] {
        Dictionary(clients.compactMap { client in client.ask().map { (client.name, $0) } }) { first, _ in first }
    }

    /// How services stand. Of one whose keeper does not answer, what was written down last is told.
    ///
    /// - Returns: the statuses, and what to exit with.
    func statuses(of clients: [ServiceClient]) throws -> ([ServiceStatus], code: Int32) {
        let asked = ask(clients)
        var statuses: [ServiceStatus] = []
        var code: Int32 = 0
        for client in clients {
            let result = try attempt(client) {
                if let status = try asked[client.name]?.first() ?? client.status() { statuses.append(status) }
            }
            if result != 0, let record = client.record { statuses.append(record.status) }
            code = max(code, result)
        }
        return (statuses, code)
    }

    private static func text(_ status: ServiceStatus) -> String {
        var words = ["\(status.state.rawValue)"]
        if let since = status.since { words.append("since \(since)") }
        if let pid = status.pid { words.append("pid \(pid)") }
        if status.restarts > 0 {
            words.append(status.restarts == 1 ? "started again once" : "started again \(status.restarts) times")
        }
        if status.state.isActive {
            if let bytes = status.memoryBytes {
                let limit = status.memoryLimitBytes.map { " of \(ByteCount($0))" } ?? ""
                words.append("memory \(ByteCount(bytes))\(limit)")
            }
            words.append(status.pids.count == 1 ? "1 process" : "\(status.pids.count) processes")
        }
        var lines = ["\(status.name): \(words.joined(separator: ", "))"]
        if let reason = status.reason { lines.append("  \(reason)".inOneLine) }
        if let next = status.nextStart { lines.append("  is started again at \(next)") }
        if let death = status.lastDeath, death.text != status.reason {
            lines.append("  the last time, at \(death.at): \(death.text)".inOneLine)
        }
        lines.append("  log \(status.log)".inOneLine)
        return lines.joined(separator: "\n")
    }

    func pid(_ name: String) throws {
        let client = try clients([name])[0]
        guard let status = try client.status() else { throw unknown(client) }
        guard let pid = status.pid else {
            console.error("\(name): does not run")
            throw ExitCode(Code.stopped)
        }
        print(pid)
    }

    func wait(_ name: String) throws {
        let client = try clients([name])[0]
        var last: ServiceStatus?
        while let connection = try client.connect() {
            while let status = connection.next() {
                last = status
                if status.state.isSettled { break }
            }
            if last?.state.isSettled == true { break }
            Poller.pause(.milliseconds(5))
        }
        guard let status = try last?.state.isSettled == true ? last : client.status() else { throw unknown(client) }
        guard status.state.isSettled else {
            console.error("\(name): \(status.reason ?? "nobody looks after it")")
            throw ExitCode(125)
        }
        if let code = status.lastDeath?.exitCode { throw ExitCode(code) }
        if let signal = status.lastDeath?.signal.flatMap({ Signal(name: $0) }) { throw ExitCode(128 + signal.rawValue) }
        throw ExitCode(status.lastDeath == nil ? 0 : 125)
    }
}
