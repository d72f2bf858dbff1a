internal import ArgumentParser
internal import LinuxSystem
internal import SandboxValues
internal import Services

extension ServiceActions {
    /// - Parameters:
    ///   - count: how many lines at most; `nil`: as many as one expects.
    ///   - time: nothing that was written before it.
    func logs(_ names: [String], _ count: Int?, since time: Timestamp?, follows: Bool) throws {
        let clients = try clients(names)
        for client in clients where !client.directory.hasOrder { throw unknown(client) }
        let count = count ?? (time == nil && (follows || clients.count > 1) ? 20 : nil)
        let sources = try clients.map { client in
            LogSource(
                prefix: clients.count > 1 ? "\(client.name): " : nil, client,
                log: try client.status()?.log ?? client.directory.log)
        }
        for source in sources { try StandardOutput.write(source.last(count, since: time, follows: follows)) }
        guard follows else { return try StandardOutput.write(sources.flatMap { $0.rest() }) }
        while true {
            for source in sources { try StandardOutput.write(source.more()) }
            if sources.contains(where: \.isOver) { throw UsageError("journalctl has ended, which follows the journal") }
            Poller.pause(.milliseconds(200))
        }
    }
}
