internal import ArgumentParser
internal import CgroupSandbox
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import Services
internal import SystemPackage

/// What `cgrun service …` does with the caller's services.
struct ServiceActions {
    let store: ServiceStore
    let console = Console()
    /// When the command began.
    let begun = Timestamp.now
    private let patience: ServiceClient.Patience

    /// - Parameter isLong: whether the command may see the loss of a keeper, whose guard then has time to become the next
    ///   one; otherwise all guards have that time from now on, once for the whole command.
    init(isLong: Bool = false) throws {
        patience = ServiceClient.Patience(since: isLong ? nil : .now)
        do { store = try ServiceStore() } catch {
            throw UsageError("nobody can tell where your services are: set CGRUN_STATE_DIRECTORY, or HOME")
        }
    }

    /// What systemd does with a service whose unit is being stopped. It starts no keeper before that has ended.
    init(stopping store: ServiceStore) {
        self.store = store
        patience = ServiceClient.Patience(waitsForManager: false)
    }

    enum Code {
        static let failed: Int32 = 1
        static let stopped: Int32 = 3
        static let unknown: Int32 = 4
    }

    func client(_ name: ServiceName) -> ServiceClient { ServiceClient(name, store, .json, patience) }

    /// - Parameter names: as they were typed; none stands for all.
    func clients(_ names: [String]) throws -> [ServiceClient] {
        guard !names.isEmpty else { return store.names.map(client) }
        return try names.map { text in
            do throws(LimitSyntaxError) { return client(try ServiceName(text)) } catch {
                throw UsageError("\(text): expected \(error.accepted)")
            }
        }
    }

    func unknown(_ client: ServiceClient) -> ExitCode {
        console.error("\(client.name): there is no such service; cgrun service status lists yours")
        return ExitCode(Code.unknown)
    }

    func notTakenOver(_ status: ServiceStatus?) -> ExitCode {
        console.error("\(status?.name ?? "the service"): cannot be taken over: \(status?.reason ?? "nobody says why")")
        return ExitCode(125)
    }

    /// Carries out something for each service, also after one has failed.
    func forEach(_ clients: [ServiceClient], _ body: (ServiceClient) throws -> Void) throws {
        let code = try code(of: clients, body)
        if code != 0 { throw ExitCode(code) }
    }

    /// Carries out something for each service, also after one has failed.
    ///
    /// - Returns: what to exit with, if there is no more to do.
    func code(of clients: [ServiceClient], _ body: (ServiceClient) throws -> Void) throws -> Int32 {
        try clients.reduce(0) { code, client in try max(code, attempt(client) { try body(client) }) }
    }

    /// - Returns: what to exit with, if there is no more to do.
    func attempt(_ client: ServiceClient, _ body: () throws -> Void) throws -> Int32 {
        do {
            try body()
            return 0
        } catch let exit as ExitCode { return exit.rawValue } catch let error as SystemError
            where error.errno == .timedOut
        {
            let keeper = client.record?.status.keeper.map { " (pid \($0))" } ?? ""
            console.error(
                "\(client.name): its keeper\(keeper) does not answer; is it stopped? kill -CONT it, or kill -KILL it")
            return 125
        } catch let error as SystemError where error.errno == .brokenPipe && error.path == "standard output" {
            throw error
        } catch {
            let text = (error as? UsageError)?.message ?? (error as? LaunchError)?.message ?? "\(error)"
            console.error("\(client.name): \(text)")
            return 125
        }
    }

    // MARK: Stopping

    func stop(_ names: [String]) throws {
        // All are asked before any is waited for, and what is wrong with one holds up no other.
        var stops: [ServiceName: ServiceConnection] = [:]
        let clients = try clients(names)
        let begun = try code(of: clients) { client in
            if let stop = try beginStop(client) {
                stops[client.name] = stop
            } else {
                clearAway(client)
                guard !names.isEmpty else { return }
                guard try client.status() != nil else { throw unknown(client) }
                print("\(client.name) does not run")
            }
        }
        let ended = try code(of: clients) { client in
            guard let stop = stops[client.name] else { return }
            try tellStop(try awaitStop(client, stop), client)
        }
        if max(begun, ended) != 0 { throw ExitCode(max(begun, ended)) }
    }

    /// Removes what is left of a lost service, unless somebody starts it.
    func clearAway(_ client: ServiceClient) {
        guard client.isLost, let lock = client.directory.lockIfNotStarted() else { return }
        defer { withExtendedLifetime(lock) {} }
        client.clearAway()
    }

    /// - Parameters:
    ///   - status: how the service stands after the stop.
    ///   - say: says that all is well.
    func tellStop(
        _ status: ServiceStatus?, _ client: ServiceClient, say: (String) -> Void = { print($0) }
    ) throws {
        for line in Self.blockers(status) { console.note("\(client.name): \(line)") }
        if let left = status?.lastDeath?.unkillable, !left.isEmpty {
            console.error("\(client.name): these processes do not die: \(Self.list(left))")
            throw ExitCode(Code.failed)
        }
        if status?.state == .orphaned { throw notTakenOver(status) }
        say("\(client.name) is stopped")
    }

    /// Asks for a stop.
    ///
    /// - Returns: `nil` for a service that does not run.
    private func beginStop(_ client: ServiceClient) throws -> ServiceConnection? {
        while let connection = try reach(client) {
            if let status = try connection.first() {
                if status.state.isSettled {
                    connection.awaitEnd(after: status)
                    return nil
                }
                if connection.send(.stop) { return connection }
            }
            // The keeper is gone: another one comes, or the service is over.
            Poller.pause(.milliseconds(5))
        }
        return nil
    }

    /// Connects with the keeper of a service that runs, and has one take it over if it has none.
    func reach(_ client: ServiceClient) throws -> ServiceConnection? {
        if let connection = try client.connect() { return connection }
        guard try client.status()?.state == .orphaned else { return nil }
        let lock = try client.directory.lockForStart()
        defer { withExtendedLifetime(lock) {} }
        guard let connection = try keep(client) else {
            let status = try client.status()
            guard status?.state == .orphaned else { return nil }
            throw notTakenOver(status)
        }
        return connection
    }

    /// Has a keeper started, as the service's order has it.
    func keep(_ client: ServiceClient) throws -> ServiceConnection? {
        let order = try client.directory.order()
        return try client.keep(order, order.spec().launch)
    }

    private func awaitStop(_ client: ServiceClient, _ begun: ServiceConnection) throws -> ServiceStatus? {
        var connection = begun
        while true {
            var startsBefore: Int?
            while let status = connection.next() {
                if status.state == .stopping { startsBefore = status.starts }
                // Somebody else may have it started anew as soon as it has stopped.
                if let startsBefore, status.starts > startsBefore { return status }
                guard status.state.isSettled else { continue }
                connection.awaitEnd(after: status)
                return status
            }
            // A keeper that was lost may not have heard.
            guard let next = try beginStop(client) else { return try client.status() }
            connection = next
        }
    }

    private static func blockers(_ status: ServiceStatus?) -> [String] {
        guard let blocking = status?.lastDeath?.blocking, !blocking.isEmpty else { return [] }
        return ["had to be killed, since it had not ended in time: \(list(blocking))"]
    }

    private static func list(_ processes: [Report.ProcessInfo]) -> String {
        let shown = processes.prefix(10).map { "\($0.comm) (\($0.pid))" }.joined(separator: ", ")
        return processes.count > 10 ? "\(shown) and \(processes.count - 10) more" : shown
    }

    // MARK: Restarting, reloading

    func restart(_ names: [String]) throws {
        try forEach(try clients(names)) { client in
            while let connection = try reach(client) {
                guard let status = try connection.first() else { continue }
                guard !status.state.isSettled else {
                    connection.awaitEnd(after: status)
                    break
                }
                guard connection.send(.restart) else {
                    Poller.pause(.milliseconds(5))
                    continue
                }
                guard let last = try awaitStart(client, connection, after: status.starts, .restart) else { continue }
                return try tellStart(last, client, wasRunning: false)
            }
            // Without names, only those that run.
            if !names.isEmpty { try start(client, nil) }
        }
    }

    func reload(_ names: [String]) throws {
        try forEach(try clients(names)) { client in
            if let connection = try reach(client), let before = try connection.first(),
                [.starting, .running].contains(before.state), connection.send(.reload)
            {
                try awaitReload(client, connection, after: before.reloads)
            } else if !names.isEmpty {
                guard try client.status() != nil else { throw unknown(client) }
                console.error("\(client.name): does not run")
                throw ExitCode(Code.stopped)
            }
        }
    }

    private func awaitReload(_ client: ServiceClient, _ connection: ServiceConnection, after count: Int) throws {
        while let status = connection.next() {
            guard status.reloads > count else { continue }
            guard let failure = status.reloadFailure else { return }
            console.error("\(client.name): the reload failed: \(failure)")
            throw ExitCode(Code.failed)
        }
        console.error("\(client.name): the keeper was lost during the reload; nobody knows what became of it")
        throw ExitCode(Code.failed)
    }

    /// Forgets services that do not run.
    func remove(_ names: [String]) throws {
        try forEach(try clients(names)) { client in
            guard client.directory.hasOrder else { throw unknown(client) }
            let lock = try client.directory.lockForStart()
            defer { withExtendedLifetime(lock) {} }
            if let status = try client.status(), !status.state.isSettled {
                console.error("\(client.name): is \(status.state.rawValue); stop it first")
                throw ExitCode(Code.failed)
            }
            // Who has stopped it may be faster than its keeper.
            client.ask()?.awaitEnd(after: nil)
            client.clearAway()
            try client.directory.remove()
            print("\(client.name) is forgotten")
        }
    }

    func adopt(_ names: [String]) throws {
        try forEach(try clients(names)) { client in
            guard let status = try client.status() else { throw unknown(client) }
            guard status.state == .orphaned, let adopted = try reach(client)?.first() else { return }
            print(adopted.runs("kept again"))
        }
    }
}
