internal import ArgumentParser
internal import CgroupSandbox
internal import LinuxSystem
internal import SandboxValues
internal import Services

struct UpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Start the services of a cgrun.toml, each after those that it requires.",
        usage: "cgrun up [-f FILE] [-d] [NAME …]",
        discussion: """
            Shows what the services write, until Ctrl-C or SIGTERM ends all of them, those first that no other requires; \
            the second Ctrl-C kills what is left. With -d, returns once each is ready, and leaves them running: cgrun down \
            ends them. With names, only these and what they require. Exits with 1 if a service has failed.

            The keys of a cgrun.toml are the options of cgrun service start, but for command, dir, env, env-file, requires, \
            instances, and the tables ready, stop (signal, after, mode), reload (signal, command) and log (file, max, keep):

              [service.db]
              command = ["redis-server", "--port", "7000"]
              ready = { tcp = 7000 }
              mem = "256M"

              [service.web]
              command = ["./server"]
              requires = { db = "ready" }      # or "started", "completed"
            """)

    @Option(
        name: [.customShort("f"), .customLong("file")], help: "The file.",
        completion: .file(extensions: ["toml"]))
    var file = "cgrun.toml"
    @Flag(
        name: [.customShort("d"), .customLong("detach")],
        help: "Return once each service is ready, and leave them running.")
    var isDetached = false
    @Argument(help: "Services of the file; all if none is named.") var names: [String] = []

    func run() throws {
        let file = try ServiceFile(file)
        let chosen = try file.selected(names, path: self.file)
        let services = file.services.filter { chosen.contains($0.name) }
        let actions = try ServiceActions(isLong: true)
        var members: [ServiceName: ServiceGroup.Member] = [:]
        for service in services {
            members[service.name] = ServiceGroup.Member(client: actions.client(service.name), order: service.order)
        }
        let logs = services.map { service in
            let client = actions.client(service.name)
            return (client, log: service.spec.log.name(in: client.directory))
        }
        let group = ServiceGroup(actions, file.plan, members, logs: try isDetached ? nil : GroupLogs(logs))
        let code = try group.start()
        if code != 0 { throw ExitCode(code) }
    }
}

struct DownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Stop services, those first that no other requires.",
        usage: "cgrun down [NAME …]",
        discussion: """
            With names, stops these and whatever requires them; otherwise all of yours. Exits with 1 if something does not \
            end, and names it.
            """)

    @Argument(help: "Services; all of yours if none is named.") var names: [String] = []

    func run() throws {
        let actions = try ServiceActions()
        let all = actions.store.names.map(actions.client)
        let plan = Self.plan(all)
        var (named, code) = try names.isEmpty ? (all, 0) : clients(actions, all)
        let chosen = plan.dependents(of: named.map(\.name))
        var members: [ServiceName: ServiceGroup.Member] = [:]
        for client in all where chosen.contains(client.name) {
            // One whose keeper does not answer holds up no other.
            let result = try actions.attempt(client) {
                if try client.status()?.state.isSettled == false {
                    members[client.name] = ServiceGroup.Member(client: client)
                } else {
                    actions.clearAway(client)
                    if names.contains(client.name.description) { print("\(client.name) does not run") }
                }
            }
            if result != 0 { code = max(code, ServiceActions.Code.failed) }
        }
        code = max(code, ServiceGroup(actions, plan, members, logs: nil).stop())
        if code != 0 { throw ExitCode(code) }
    }

    /// The services that were named, all instances of one where the name is that of its file; and what to exit with if
    /// one is unknown.
    private func clients(
        _ actions: ServiceActions, _ all: [ServiceClient]
    ) throws -> ([ServiceClient], code: Int32) {
        let named = try actions.clients(names)
        let found = named.map { client in
            all.filter { $0.name == client.name || $0.name.isInstance(of: client.name) }
        }
        let unknown = zip(named, found).filter { $1.isEmpty }.map(\.0)
        return (found.flatMap { $0 }, try actions.code(of: unknown) { throw actions.unknown($0) })
    }

    /// What services require of each other. Files that know nothing of each other may have been started one after the
    /// other: services in a circle count as if they required nothing.
    private static func plan(_ clients: [ServiceClient]) -> ServicePlan {
        var services = clients.map { ($0.name, (try? $0.directory.order().requirements) ?? []) }
        while true {
            do throws(ServicePlan.Circle) { return try ServicePlan(services) } catch {
                for index in services.indices where error.names.contains(services[index].0) { services[index].1 = [] }
            }
        }
    }
}

struct PSCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ps",
        abstract: "List services, and the jobs that run.",
        usage: "cgrun ps [--json]",
        discussion: "Yours are all services, and all jobs that you may look at.")

    @Flag(name: .customLong("json"), help: "For programs.") var isJSON = false

    func run() throws {
        let (trees, code) = try ListedTree.all(ServiceActions())
        if isJSON {
            print(String(decoding: try ReportOutput.encode(trees), as: UTF8.self), terminator: "")
        } else {
            for line in ListedTree.table(trees, width: PseudoTerminal.Size(of: 1).map { Int($0.columns) }) {
                print(line)
            }
        }
        if code != 0 { throw ExitCode(code) }
    }
}
