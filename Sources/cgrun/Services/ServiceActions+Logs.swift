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
            sources.append(LogSource(prefix: clients.count > 1 ? client.name.description : nil, path))
        }
        for source in sources { try source.write(last: count) }
        guard follows else { return }
        while true {
            for source in sources { try source.writeMore() }
            Poller.pause(.milliseconds(200))
        }
    }
}

/// The log of one service among several.
private final class LogSource {
    private let prefix: String?
    private var tail: LogTail
    /// What has come of a line that is not complete yet.
    private var begun: [UInt8] = []

    init(prefix: String?, _ path: String) {
        self.prefix = prefix
        tail = LogTail(path)
    }

    func write(last count: Int?) throws { try write(tail.last(count)) }
    func writeMore() throws { try write(tail.more()) }

    private func write(_ bytes: [UInt8]) throws {
        guard let prefix else {
            return try StandardOutput.write(bytes)
        }
        let lines = LogTail.lines(begun + bytes)
        begun = lines.last.map { $0.last == UInt8(ascii: "\n") ? [] : Array($0) } ?? []
        for line in lines where line.last == UInt8(ascii: "\n") {
            try StandardOutput.write(Array("\(prefix): ".utf8) + line)
        }
    }
}
