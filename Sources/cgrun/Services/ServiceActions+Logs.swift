internal import ArgumentParser
internal import LinuxSystem
internal import SandboxValues
internal import Services

extension ServiceActions {
    func logs(_ names: [String], _ count: Int?, follows: Bool) throws {
        let clients = try clients(names)
        for client in clients where !client.directory.hasOrder { throw unknown(client) }
        let count = count ?? (follows || clients.count > 1 ? 20 : nil)
        var sources: [LogSource] = []
        for client in clients {
            let path = try client.status()?.log ?? client.directory.log
            sources.append(LogSource(prefix: clients.count > 1 ? "\(client.name): " : nil, path))
        }
        for source in sources { try StandardOutput.write(source.last(count)) }
        guard follows else { return try StandardOutput.write(sources.flatMap { $0.rest() }) }
        while true {
            for source in sources { try StandardOutput.write(source.more()) }
            Poller.pause(.milliseconds(200))
        }
    }
}
