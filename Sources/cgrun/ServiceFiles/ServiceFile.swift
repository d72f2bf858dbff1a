internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import Services

/// What a `cgrun.toml` says: services, as `cgrun service start` would be asked for them.
struct ServiceFile {
    struct Service {
        let name: ServiceName
        let order: ServiceDirectory.Order
        let spec: ServiceSpec
        /// The name in the file, which all instances share.
        let group: String
        /// Where its table begins.
        let line: Int
        /// What the file says of it, with the defaults, and without the names of its table.
        let statements: [Statement]
        /// The files of variables, by absolute paths. What is in them is in the order, too.
        let environmentFiles: [String]
    }

    /// In the order of the file.
    let services: [Service]
    let plan: ServicePlan

    /// - Throws: what is wrong with the file, and in which line.
    init(_ path: String) throws {
        let statements = try TOMLReader.statements(of: path)
        let slash = path.lastIndex(of: "/")
        let here = ThisProcess.currentDirectory ?? "/"
        let below = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let directory = below.hasPrefix("/") ? below : below == "." ? here : here + "/" + below
        try self.init(statements, path: path, directory: directory, environment: ThisProcess.environment)
    }

    init(_ statements: [Statement], path: String, directory: String, environment: [ByteString]) throws {
        var parser = ServiceFileParser(path: path.asName, directory: directory)
        let tables = try parser.tables(statements)
        let groups = try tables.map { try parser.instances(of: $0) }
        let known = Dictionary(zip(tables.map(\.name), groups)) { first, _ in first }
        var services: [Service] = []
        for (table, names) in zip(tables, groups) {
            let requirements = try parser.requirements(of: table, among: known)
            for (index, name) in names.enumerated() {
                parser.instance = table.isTemplate ? "\(index + 1)" : nil
                let order = ServiceDirectory.Order(
                    words: try parser.words(of: table, name), environment: environment,
                    workingDirectory: ByteString(directory.utf8) ?? "/", requirements: requirements)
                let spec: ServiceSpec
                do { spec = try order.spec() } catch let error as UsageError {
                    throw parser.mistake(table.line, error.message)
                }
                services.append(
                    Service(
                        name: name, order: order, spec: spec, group: table.name, line: table.line,
                        statements: table.statements,
                        environmentFiles: try parser.environmentFiles(of: table)))
            }
        }
        guard !services.isEmpty else {
            throw UsageError("\(path.asName): there is no service in it; expected [service.NAME]")
        }
        try Self.check(services, tables, parser)
        do { plan = try ServicePlan(services.map { ($0.name, $0.order.requirements) }) } catch {
            let names = error.names.map(\.description).joined(separator: " → ")
            let group = services.first { $0.name == error.names[0] }?.group
            let line = tables.first { $0.name == group }?.line ?? 1
            throw parser.mistake(line, "services require each other: \(names)")
        }
        self.services = services
    }

    /// Refuses what only several services together have wrong.
    private static func check(
        _ services: [Service], _ tables: [ServiceFileParser.Table], _ parser: ServiceFileParser
    ) throws(UsageError) {
        var known: [String: Service] = [:]
        var owners: [String: ServiceName] = [:]
        for service in services {
            guard let table = tables.first(where: { $0.name == service.group }) else { continue }
            func line(_ keys: [String]...) -> Int {
                table.statements.first { keys.contains($0.path) }?.line ?? table.line
            }
            guard known.updateValue(service, forKey: service.name.description) == nil else {
                throw parser.mistake(table.line, "\(service.name): there are two services of this name")
            }
            let files = [
                ("log", service.spec.log.path, line(["log"], ["log", "file"])),
                ("pid-file", service.spec.pidFile, line(["pid-file"])),
            ]
            for (key, file, line) in files {
                guard let file, let owner = owners.updateValue(service.name, forKey: file) else { continue }
                throw parser.mistake(line, "\(key) \(file.asName): \(owner) has the same; expected one for each")
            }
        }
        for service in services {
            for requirement in service.order.requirements where requirement.condition == .completed {
                guard let other = known[requirement.name.description], other.spec.restart.policy == .always else {
                    continue
                }
                let statement = tables.first { $0.name == service.group }?.statements
                    .first { $0.path == ["requires", other.group] }
                throw parser.mistake(
                    statement?.line ?? 1,
                    "requires.\(other.group): it is never completed, since it has restart = \"always\"")
            }
        }
    }

    /// The services that somebody has named, and all that they require; without names, all.
    ///
    /// - Throws: for a name that is not in the file.
    func selected(_ names: [String], path: String) throws(UsageError) -> Set<ServiceName> {
        guard !names.isEmpty else { return Set(services.map(\.name)) }
        var chosen: [ServiceName] = []
        for name in names {
            let found = services.filter { $0.group == name || $0.name.description == name }
            guard !found.isEmpty else {
                let known = Set(services.flatMap { [$0.group, $0.name.description] })
                let hint =
                    NearestName.of(name, among: known).map { "did you mean \($0)?" }
                    ?? "it has \(Set(services.map(\.group)).sorted().joined(separator: ", "))"
                throw UsageError("\(name.asName): there is no such service in \(path.asName); \(hint)")
            }
            chosen += found.map(\.name)
        }
        return plan.closure(of: chosen)
    }
}
