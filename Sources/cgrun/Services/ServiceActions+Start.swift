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
        guard order != nil || client.directory.hasOrder else {
            console.error(
                "\(client.name): there is no such service; give its command, as in cgrun service start \(client.name) -- ./server"
            )
            throw ExitCode(Code.unknown)
        }
        try client.directory.make()
        while true {
            let lock = try client.directory.lockForStart()
            guard let connection = try client.connect() else {
                return try startKeeper(client, order, lock)
            }
            if try joinStart(client, connection, order, lock) { return }
            // That keeper was about to end.
            connection.awaitEnd(after: nil)
        }
    }

    /// Starts a keeper, with the lock of starts, and waits until the service is ready.
    private func startKeeper(
        _ client: ServiceClient, _ order: ServiceDirectory.Order?, _ lock: consuming Descriptor
    ) throws {
        let isOrphaned = try client.status()?.state == .orphaned
        if !isOrphaned {
            if let order { try client.directory.write(order) }
            client.forgetRecord()
        }
        let connection = try client.keep(client.directory.order())
        // Others may join from here on.
        _ = consume lock
        let status = try awaitStart(client, connection, after: 0, .start)
        try tellStart(status, client, wasRunning: isOrphaned)
    }

    /// Has a keeper that is there see to it that the service runs, and waits until it is ready.
    ///
    /// - Returns: whether the keeper could.
    private func joinStart(
        _ client: ServiceClient, _ connection: ServiceConnection, _ order: ServiceDirectory.Order?,
        _ lock: consuming Descriptor
    ) throws -> Bool {
        guard let first = try connection.first(), !first.state.isSettled else { return false }
        let isAnother = try order.map { try client.directory.order().words != $0.words } ?? false
        if isAnother, first.state == .backoff {
            // Nothing of it runs, so that it can be replaced: perhaps the command was what was wrong.
            _ = connection.send(.stop)
            return false
        }
        _ = consume lock
        if isAnother {
            console.note("\(client.name): runs as it was started before; stop it first to have it otherwise")
        }
        if first.state == .running {
            try tellStart(first, client, wasRunning: true)
            return true
        }
        if first.state != .starting, !connection.send(.start) { return false }
        let status = try awaitStart(client, connection, after: first.state == .starting ? 0 : first.starts, .start)
        try tellStart(status, client, wasRunning: true)
        return true
    }

    /// Waits until the service is ready, or has failed.
    ///
    /// - Parameters:
    ///   - starts: only what comes after so many starts counts.
    ///   - request: what a keeper is asked again that takes over, and may not have heard.
    func awaitStart(
        _ client: ServiceClient, _ first: ServiceConnection?, after starts: Int, _ request: ServiceRequestKind
    ) throws -> ServiceStatus {
        func isDecided(_ status: ServiceStatus) -> Bool {
            status.state.isSettled || status.starts > starts && [.running, .backoff].contains(status.state)
        }
        var connection = first
        while let present = connection {
            while let status = present.next() {
                if isDecided(status) { return status }
            }
            // The keeper is gone: over, or lost.
            Poller.pause(.milliseconds(5))
            connection = try client.connect()
            guard let status = try connection?.first() else { continue }
            if isDecided(status) { return status }
            if status.starts <= starts, status.state != .stopping { _ = connection?.send(request) }
        }
        guard let status = try client.status() else { throw unknown(client) }
        return status
    }

    func tellStart(_ status: ServiceStatus, _ client: ServiceClient, wasRunning: Bool) throws {
        switch status.state {
        case .running, .starting, .stopping:
            print("\(status.name) is \(wasRunning ? "already running" : "ready"): pid \(status.pid ?? 0)")
        case .exited: print("\(status.name) has ended: \(status.reason ?? "")".inOneLine)
        case .stopped:
            console.error("\(status.name): was stopped before it was ready")
            throw ExitCode(Code.failed)
        case .orphaned: throw notTakenOver(status)
        case .backoff, .failed:
            let next = status.state == .backoff ? "; it is started again by itself" : ""
            console.error("\(status.name): \(status.reason ?? "failed")\(next)")
            // A command that never ran has written nothing.
            if !["setup_error", "exec_error"].contains(status.lastDeath?.cause) { showEnd(of: status) }
            throw ExitCode(status.lastDeath?.cause == "setup_error" ? 125 : Code.failed)
        }
    }

    /// The last lines of a service's log, for whoever wonders why it failed.
    private func showEnd(of status: ServiceStatus) {
        var tail = LogTail(status.log)
        let lines = LogTail.lines(tail.last(20)).map { "  " + String(decoding: $0, as: UTF8.self).trimmedEnd.inOneLine }
        guard !lines.isEmpty else { return }
        console.show(["the end of \(status.log.inOneLine):"] + lines)
    }
}

extension String {
    fileprivate var trimmedEnd: Substring {
        var text = self[...]
        while text.last?.isNewline == true { text.removeLast() }
        return text
    }
}
