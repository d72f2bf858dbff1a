internal import ArgumentParser
internal import CgroupSandbox
internal import LinuxSystem
internal import SandboxValues
internal import Services

extension ServiceActions {
    /// - Parameter words: what follows `cgrun service start`.
    func start(_ words: ArraySlice<ByteString>) throws {
        let request = try ServiceRequest(parsing: words)
        let order = request.spec.map { _ in
            ServiceDirectory.Order(
                words: Array(words), environment: ThisProcess.environment,
                workingDirectory: ThisProcess.currentDirectory.flatMap { ByteString($0.utf8) } ?? "/")
        }
        try forEach([client(request.name)]) { try start($0, order) }
    }

    func start(_ client: ServiceClient, _ order: ServiceDirectory.Order?) throws {
        for _ in 0..<Self.mostAttempts {
            let begun = try begin(client, order)
            var status = begun.status
            if let connection = begun.connection, status == nil {
                status = try awaitStart(client, connection, after: begun.startsBefore, .start)
                if status == nil { continue }
            }
            guard let known = try status ?? client.status() else { throw unknown(client) }
            return try tellStart(known, client, wasRunning: begun.wasRunning)
        }
        throw neverBegan(client)
    }

    /// How often a start is tried whose keeper is lost together with its guard.
    static let mostAttempts = 10

    func neverBegan(_ client: ServiceClient) -> ExitCode {
        console.error(
            "\(client.name): its keeper and its guard are lost again and again as soon as they start; who kills them?")
        return ExitCode(125)
    }

    /// A start that was asked for.
    struct BegunStart {
        var connection: ServiceConnection?
        /// Only what comes after so many starts tells what has become of this one.
        var startsBefore = 0
        /// How the service stands, if that is decided already.
        var status: ServiceStatus?
        var wasRunning = true
    }

    /// Asks for a start.
    func begin(_ client: ServiceClient, _ order: ServiceDirectory.Order?) throws -> BegunStart {
        guard order != nil || client.directory.hasOrder else {
            console.error(
                "\(client.name): there is no such service; give its command, as in cgrun service start \(client.name) -- ./server"
            )
            throw ExitCode(Code.unknown)
        }
        try client.directory.make()
        while true {
            let lock = try client.directory.lockForStart()
            guard order != nil || client.directory.hasOrder else {
                // It was removed while this start waited.
                try client.directory.remove()
                throw unknown(client)
            }
            guard let connection = try client.connect() else {
                return try startKeeper(client, order, lock)
            }
            if let begun = try joinStart(client, connection, order, lock) { return begun }
            // That keeper was about to end.
            connection.awaitEnd(after: nil)
        }
    }

    /// Starts a keeper, with the lock of starts.
    private func startKeeper(
        _ client: ServiceClient, _ order: ServiceDirectory.Order?, _ lock: consuming Descriptor
    ) throws -> BegunStart {
        let isOrphaned = try client.status()?.state == .orphaned
        if !isOrphaned {
            if let order { try client.directory.write(order) }
            try client.forgetRecord()
        }
        let connection = try keep(client)
        // Others may join from here on.
        _ = consume lock
        return BegunStart(connection: connection, wasRunning: isOrphaned)
    }

    /// Has a keeper that is there see to it that the service runs.
    ///
    /// - Returns: `nil` if the keeper cannot.
    private func joinStart(
        _ client: ServiceClient, _ connection: ServiceConnection, _ order: ServiceDirectory.Order?,
        _ lock: consuming Descriptor
    ) throws -> BegunStart? {
        guard let first = try connection.first(), !first.state.isSettled else { return nil }
        let before = try client.directory.order()
        let isAnother =
            order.map { $0.words != before.words || $0.workingDirectory != before.workingDirectory } ?? false
        if isAnother, first.state == .backoff {
            // Nothing of it runs, so that it can be replaced: perhaps the command was what was wrong.
            _ = connection.send(.stop)
            return nil
        }
        if let order, !isAnother, order.requirements != before.requirements {
            try client.directory.writeRequirements(of: order)
        }
        _ = consume lock
        if isAnother {
            console.note("\(client.name): runs as it was started before; stop it first to have it otherwise")
        }
        if first.state == .running { return BegunStart(connection: connection, status: first) }
        if first.state != .starting, !connection.send(.start) { return nil }
        return BegunStart(connection: connection, startsBefore: first.state == .starting ? 0 : first.starts)
    }

    /// Waits until the service is ready, or has failed.
    ///
    /// - Parameters:
    ///   - starts: only what comes after so many starts counts.
    ///   - request: what a keeper is asked again that takes over, and may not have heard.
    /// - Returns: `nil` if keeper and guard are lost, so that the start has to be asked for once more.
    func awaitStart(
        _ client: ServiceClient, _ first: ServiceConnection?, after starts: Int, _ request: ServiceRequestKind
    ) throws -> ServiceStatus? {
        func isDecided(_ status: ServiceStatus) -> Bool { status.isDecided(after: starts) }
        var connection = first
        while true {
            while let status = connection?.next() {
                if isDecided(status) { return status }
            }
            // The keeper is gone: over, or lost.
            Poller.pause(.milliseconds(5))
            connection = try client.connect()
            if let status = try connection?.first() {
                if isDecided(status) { return status }
                if status.starts <= starts, status.state != .stopping { _ = connection?.send(request) }
            } else if connection == nil {
                if client.isLost { return nil }
                guard let status = try client.status() else { throw unknown(client) }
                if status.state == .orphaned { return nil }
                if isDecided(status) { return status }
            }
        }
    }

    func tellStart(_ status: ServiceStatus, _ client: ServiceClient, wasRunning: Bool) throws {
        switch status.state {
        case .running:
            print(status.runs(wasRunning ? "already running" : "ready"))
        case .exited: print("\(status.name) has ended: \(status.reason ?? "")".inOneLine)
        case .stopped, .starting, .stopping:
            console.error("\(status.name): was stopped before it was ready")
            throw ExitCode(Code.failed)
        case .orphaned: throw notTakenOver(status)
        case .backoff, .failed:
            let next = status.state == .backoff ? "; it is started again by itself" : ""
            console.error("\(status.name): \(status.reason ?? "failed")\(next)")
            // A command that never ran has written nothing.
            if !["setup_error", "exec_error"].contains(status.lastDeath?.cause) { showEnd(of: status, client) }
            throw ExitCode(status.lastDeath?.cause == "setup_error" ? 125 : Code.failed)
        }
    }

    /// The last lines that a service has written since its last start, for whoever wonders why it failed.
    private func showEnd(of status: ServiceStatus, _ client: ServiceClient) {
        let lines = LogTail.lines(endOfLog(status, client)).map {
            "  " + String(decoding: $0, as: UTF8.self).trimmedEnd.inOneLine
        }
        guard !lines.isEmpty else { return }
        console.show(["the end of \(status.log.inOneLine):"] + lines)
    }

    private func endOfLog(_ status: ServiceStatus, _ client: ServiceClient) -> [UInt8] {
        if status.log == LogRules.journal {
            // The journal takes a moment to read what was written last.
            Poller.pause(.milliseconds(100))
            return (try? JournalTail(of: client).last(20, since: begun)) ?? []
        }
        var tail = LogTail(status.log)
        return tail.last(20, from: client.record.flatMap { tail.place(at: $0.logStart) })
    }
}

extension ServiceStatus {
    /// Says that the service runs. One whose main process has left the others alone has no pid.
    func runs(_ how: String) -> String { "\(name) is \(how)" + (pid.map { ": pid \($0)" } ?? "") }

    /// Whether it is clear what has become of the start that came after so many others.
    func isDecided(after count: Int) -> Bool {
        state.isSettled || starts > count && [.running, .backoff].contains(state)
    }
}

extension String {
    fileprivate var trimmedEnd: Substring {
        var text = self[...]
        while text.last?.isNewline == true { text.removeLast() }
        return text
    }
}
