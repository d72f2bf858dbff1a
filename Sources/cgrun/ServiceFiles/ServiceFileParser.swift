internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import Services

/// Makes words of `cgrun service start` out of the statements of a `cgrun.toml`.
struct ServiceFileParser {
    /// For messages.
    let path: String
    /// The directory that relative paths are about.
    let directory: String
    /// What takes the place of `%i`; `nil` outside of instances.
    var instance: String?

    /// A service's statements, without the names of the table.
    struct Table {
        let name: String
        /// Where it begins.
        let line: Int
        var statements: [Statement]
        /// Whether the number of instances was given, be it 1.
        var isTemplate: Bool { statements.contains { $0.path.first == "instances" } }
    }

    init(path: String, directory: String) {
        self.path = path
        self.directory = directory
    }

    func mistake(_ line: Int, _ text: String) -> UsageError { UsageError("\(path):\(line): \(text)") }

    // MARK: Tables

    /// Sorts statements by service, and adds the defaults to each.
    func tables(_ statements: [Statement]) throws -> [Table] {
        var defaults: [Statement] = []
        var tables: [Table] = []
        for statement in statements {
            switch statement.path.first {
            case "defaults":
                let inner = try inside(statement, 1)
                guard let inner else { continue }
                if ServiceKey.own.contains(inner.path[0]) {
                    throw mistake(statement.line, "\(inner.path[0]) is a service's own; expected it in [service.NAME]")
                }
                defaults.append(inner)
            case "service":
                guard statement.path.count > 1 else {
                    _ = try inside(statement, 1)
                    continue
                }
                let name = statement.path[1]
                let inner = try inside(statement, 2)
                if let index = tables.firstIndex(where: { $0.name == name }) {
                    if let inner { tables[index].statements.append(inner) }
                } else {
                    tables.append(Table(name: name, line: statement.line, statements: inner.map { [$0] } ?? []))
                }
            default:
                let key = statement.path.first ?? ""
                let hint =
                    NearestName.of(key, among: ["defaults", "service"]).map { "did you mean \($0)?" }
                    ?? "expected [defaults] and [service.NAME]"
                throw mistake(statement.line, "\(key.asName): unknown; \(hint)")
            }
        }
        return tables.map { table in
            var table = table
            table.statements = Self.adding(defaults, to: table.statements)
            return table
        }
    }

    /// The statement without its first names; `nil` for the header of a table.
    private func inside(_ statement: Statement, _ count: Int) throws(UsageError) -> Statement? {
        var inner = statement
        inner.path.removeFirst(count)
        if !inner.path.isEmpty { return inner }
        guard case .table = statement.value else {
            throw mistake(statement.line, "\(statement.path.joined(separator: ".")): expected a table")
        }
        return nil
    }

    /// A service's own key takes the place of the default; of `env`, each variable does.
    private static func adding(_ defaults: [Statement], to own: [Statement]) -> [Statement] {
        func subject(_ statement: Statement) -> [String] {
            statement.path[0] == "env" ? Array(statement.path.prefix(2)) : [statement.path[0]]
        }
        return defaults.filter { one in !own.contains { subject($0) == subject(one) } } + own
    }

    // MARK: Services

    /// The names of a service's instances.
    func instances(of table: Table) throws(UsageError) -> [ServiceName] {
        func name(_ text: String) throws(UsageError) -> ServiceName {
            do { return try ServiceName(text) } catch {
                throw mistake(table.line, "service.\(text.asName): expected \(error.accepted)")
            }
        }
        guard let statement = table.statements.first(where: { $0.path == ["instances"] }) else {
            return [try name(table.name)]
        }
        guard case .integer(let count) = statement.value, (1...1000).contains(count) else {
            throw refusal(statement, "a number from 1 to 1000")
        }
        var names: [ServiceName] = []
        for number in 1...count { names.append(try name("\(table.name)@\(number)")) }
        return names
    }

    /// - Parameter groups: the instances of each service in the file.
    func requirements(
        of table: Table, among groups: [String: [ServiceName]]
    ) throws(UsageError) -> [ServicePlan.Requirement] {
        var result: [ServicePlan.Requirement] = []
        for statement in table.statements where statement.path[0] == "requires" {
            if statement.path.count == 1, case .table = statement.value { continue }
            guard statement.path.count == 2, case .string(let text) = statement.value,
                let condition = ServicePlan.Condition(rawValue: text)
            else {
                throw refusal(statement, "{ NAME = \"started\", \"ready\" or \"completed\" }")
            }
            let required = statement.path[1]
            guard let names = groups[required] else {
                let hint = NearestName.of(required, among: groups.keys).map { "; did you mean \($0)?" } ?? ""
                throw mistake(statement.line, "requires.\(required.asName): there is no such service\(hint)")
            }
            result += names.map { ServicePlan.Requirement($0, condition) }
        }
        return result
    }

    /// The words after `cgrun service start`.
    func words(of table: Table, _ name: ServiceName) throws -> [ByteString] {
        var options: [String] = []
        var fromFiles: [String] = []
        var command: [String]?
        var readiness: Statement?
        for statement in table.statements {
            // The header of a table such as [service.web.ready].
            if case .table = statement.value, statement.path.count == 1, !ServiceKey.keys(in: statement.path[0]).isEmpty
            {
                continue
            }
            let key = try key(of: statement)
            switch key {
            case .command: command = try words(statement)
            case .requirements, .instances: break
            case .environmentFile: fromFiles += try variables(fromFile: statement)
            case .environment:
                guard statement.path.count == 2, !statement.path[1].isEmpty, !statement.path[1].contains("=") else {
                    if statement.path.count == 1, case .table = statement.value { continue }
                    throw refusal(statement, "a table of variables, such as { PORT = \"8080\" }")
                }
                options += ["--setenv", "\(statement.path[1])=\(try text(statement, "one value"))"]
            default:
                if case .readiness = key {
                    if let readiness {
                        throw mistake(
                            statement.line, "\(Self.name(statement)): there is \(Self.name(readiness)) already")
                    }
                    readiness = statement
                }
                let made = try option(key, statement)
                try check(made, statement)
                options += made
            }
        }
        guard let command else {
            throw mistake(
                table.line,
                "service.\(table.name) has no command; expected one such as command = [\"./server\", \"-v\"]")
        }
        // What the file of variables says, `env` says better.
        let all = [name.description] + fromFiles.flatMap { ["--setenv", $0] } + options + ["--"] + command
        return try all.map { word in
            guard let bytes = ByteString(word.utf8) else {
                throw mistake(table.line, "service.\(table.name): a value has a NUL in it; expected text")
            }
            return bytes
        }
    }

    private func key(of statement: Statement) throws(UsageError) -> ServiceKey {
        let name = Self.name(statement)
        if let key = ServiceKey.all[name] { return key }
        // Names in these tables are the user's.
        if let key = ServiceKey.all[statement.path[0]], key == .environment || key == .requirements { return key }
        let first = statement.path[0]
        let keys = ServiceKey.keys(in: first)
        if keys.isEmpty, ServiceKey.all[first] != nil {
            throw mistake(statement.line, "\(first): expected one value, and no table")
        }
        if !keys.isEmpty, statement.path.count == 1 {
            throw mistake(statement.line, "\(name): expected a table of \(keys.joined(separator: ", "))")
        }
        throw mistake(statement.line, "\(name.asName): unknown key; \(ServiceKey.correction(of: name))")
    }

    private static func name(_ statement: Statement) -> String { statement.path.joined(separator: ".") }

    // MARK: Values

    /// The options that may be given more than once.
    private static let repeated = [LimitKind.ioMax.option, RunSetting.property.rawValue]

    /// The option that a key stands for, with its value.
    private func option(_ key: ServiceKey, _ statement: Statement) throws(UsageError) -> [String] {
        switch key {
        case .directory: return ["--working-directory", try text(statement, "a directory")]
        case .commandOption(let option): return ["--\(option)", CommandWords.join(try words(statement))]
        case .readiness("notify"):
            guard statement.value == .boolean(true) else { throw refusal(statement, "true") }
            return ["--ready", "notify"]
        case .readiness("exec"): return ["--ready", "exec=" + CommandWords.join(try words(statement))]
        case .readiness(let kind): return ["--ready", "\(kind)=\(try text(statement, "one value"))"]
        case .option(let option):
            if let known = RunOption.named(option), known.valueName == nil {
                guard case .boolean(let isSet) = statement.value else { throw refusal(statement, "true or false") }
                return isSet ? ["--\(option)"] : []
            }
            if Self.repeated.contains(option), case .array(let values) = statement.value {
                var words: [String] = []
                for value in values {
                    let one = Statement(line: statement.line, path: statement.path, value: value)
                    words += ["--\(option)", try text(one, "texts")]
                }
                return words
            }
            return ["--\(option)", try text(statement, "one value")]
        case .command, .environment, .environmentFile, .requirements, .instances: return []
        }
    }

    /// Has the grammar of `cgrun service start` look at an option, so that a mistake is told of this line.
    private func check(_ option: [String], _ statement: Statement) throws {
        guard let first = option.first else { return }
        do {
            _ = try ServiceRequest(parsing: (["x"] + option + ["--", "x"]).compactMap { ByteString($0.utf8) }[...])
        } catch let error as UsageError {
            // Other mistakes are about several options, such as --uid without --gid: the whole service is checked later.
            guard error.message.hasPrefix("\(first) ") else { return }
            var rest = error.message.dropFirst(first.count)
            // What the name of the key has said already.
            if case .readiness(let kind) = ServiceKey.all[Self.name(statement)], rest.hasPrefix(" \(kind)=") {
                rest = " " + rest.dropFirst(kind.count + 2)
            }
            throw mistake(statement.line, Self.name(statement) + rest)
        }
    }

    private func text(_ statement: Statement, _ accepted: String) throws(UsageError) -> String {
        switch statement.value {
        case .string(let text): expanded(text)
        case .integer(let number): "\(number)"
        case .real(let number): "\(number)"
        case .boolean(let flag) where statement.path[0] == "env": flag ? "true" : "false"
        case .moment(let text): text
        default: throw refusal(statement, accepted)
        }
    }

    private func words(_ statement: Statement) throws(UsageError) -> [String] {
        let accepted = "words, such as [\"./server\", \"--port\", \"8080\"]; there is no shell"
        guard case .array(let values) = statement.value else { throw refusal(statement, accepted) }
        var words: [String] = []
        for value in values {
            let one = Statement(line: statement.line, path: statement.path, value: value)
            words.append(try text(one, accepted))
        }
        guard let first = words.first, !first.isEmpty else { throw refusal(statement, accepted) }
        return words
    }

    /// The text with the number of the instance in place of `%i`.
    private func expanded(_ text: String) -> String {
        guard let instance, text.contains("%") else { return text }
        var result = ""
        var rest = text[...]
        while let character = rest.popFirst() {
            switch (character, rest.first) {
            case ("%", "i"): result += instance
            case ("%", "%"): result += "%"
            default:
                result.append(character)
                continue
            }
            rest.removeFirst()
        }
        return result
    }

    /// The files of variables of a service, by absolute paths.
    func environmentFiles(of table: Table) throws(UsageError) -> [String] {
        var result: [String] = []
        for statement in table.statements where statement.path == ["env-file"] {
            result += try paths(statement).map(absolute)
        }
        return result
    }

    private func paths(_ statement: Statement) throws(UsageError) -> [String] {
        if case .array = statement.value { return try words(statement) }
        return [try text(statement, "a file, or several")]
    }

    private func absolute(_ path: String) -> String { path.hasPrefix("/") ? path : directory + "/" + path }

    private func variables(fromFile statement: Statement) throws -> [String] {
        try paths(statement).flatMap { path -> [String] in
            let full = absolute(path)
            let content: String
            do {
                let bytes = try Descriptor(opening: full, O_RDONLY | O_NOCTTY).readToEnd(path: full)
                guard let text = String(validating: bytes, as: UTF8.self) else {
                    throw mistake(statement.line, "env-file \(path.asName): expected a file in UTF-8")
                }
                content = text
            } catch let error as SystemError {
                throw mistake(statement.line, "env-file \(path.asName): \(error.errno); expected a file of variables")
            }
            do throws(EnvironmentFile.Mistake) { return try EnvironmentFile.assignments(content) } catch {
                throw UsageError("\(full.asName):\(error.line): expected \(EnvironmentFile.accepted)")
            }
        }
    }

    private func refusal(_ statement: Statement, _ accepted: String) -> UsageError {
        let value =
            switch statement.value {
            case .string(let text): " \"\(text)\""
            case .integer(let number): " \(number)"
            case .real(let number): " \(number)"
            case .boolean(let flag): " \(flag)"
            case .moment(let text): " \(text)"
            case .array, .table: ""
            }
        return mistake(statement.line, "\(Self.name(statement))\(value): expected \(accepted)")
    }
}
