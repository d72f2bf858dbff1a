internal import SandboxValues

/// A `cgrun.toml` to be written.
struct ServiceFileText {
    /// A table `[service.NAME]`.
    struct Table {
        var name: String
        /// Lines of any length.
        var comments: [String] = []
        var keys: [TOMLValue.Entry] = []
        /// Whether all of it is a comment, so that `cgrun up` leaves the service alone.
        var isOff = false

        subscript(key: String) -> TOMLValue? {
            get { keys.first { $0.key == key }?.value }
            set {
                if let index = keys.firstIndex(where: { $0.key == key }) {
                    if let newValue { keys[index].value = newValue } else { keys.remove(at: index) }
                } else if let newValue {
                    keys.append(TOMLValue.Entry(key: key, value: newValue))
                }
            }
        }

        /// One table for services that differ in nothing but their numbers, which are 1, 2 and so on.
        ///
        /// - Returns: `nil` where they differ in something else.
        static func instances(_ tables: [Table], name: String) -> Table? {
            guard let first = tables.first,
                case .table(let keys) = TOMLValue.template(of: tables.map { .table($0.keys) })
            else { return nil }
            var table = Table(name: name, comments: first.comments, isOff: first.isOff)
            table.keys = keys
            table["instances"] = .number(tables.count)
            return table
        }
    }

    /// At the top of the file.
    var comments: [String]
    var defaultComments: [String] = []
    var defaults: [TOMLValue.Entry] = []
    var services: [Table] = []
    /// At the end of the file.
    var closing: [String] = []

    /// Keys in the order in which they are written.
    private static let order = [
        "command", "instances", "dir", "uid", "env", "env-file", "requires", "restart", "backoff", "healthy-after",
        "give-up", "ready", "stop", "log",
    ]
    /// What the defaults may say: all that is not a service's own.
    private static let shared = order.filter { !["command", "instances", "requires", "log"].contains($0) }

    /// Moves to the defaults what several services, and all of them, say.
    mutating func shareDefaults() {
        guard services.count > 1 else { return }
        for key in Self.shared {
            if key == "env" {
                shareVariables()
                continue
            }
            let value = services[0][key]
            // A percent sign of a service with instances is doubled. Its value is then unlike that of a service without,
            // and stays with each of them: as a default, one text could not be right for both.
            guard let value, services.allSatisfy({ $0[key] == value }) else { continue }
            defaults.append(TOMLValue.Entry(key: key, value: value))
            for index in services.indices { services[index][key] = nil }
        }
    }

    private mutating func shareVariables() {
        func variables(_ table: Table) -> [TOMLValue.Entry] {
            if case .table(let entries) = table["env"] { entries } else { [] }
        }
        let common = variables(services[0]).filter { one in
            services.allSatisfy { variables($0).contains(one) }
        }
        guard !common.isEmpty else { return }
        defaults.append(TOMLValue.Entry(key: "env", value: .table(common)))
        for index in services.indices {
            let rest = variables(services[index]).filter { !common.contains($0) }
            services[index]["env"] = rest.isEmpty ? nil : .table(rest)
        }
    }

    // MARK: Text

    var text: String {
        var lines = Self.comments(comments)
        if !defaults.isEmpty { lines += ["", "[defaults]"] + Self.comments(defaultComments) + Self.lines(defaults) }
        for service in services {
            let table = ["[service.\(TOMLValue.name(service.name))]"] + Self.lines(service.keys)
            lines += [""] + Self.comments(service.comments) + (service.isOff ? table.map { "# " + $0 } : table)
        }
        if !closing.isEmpty { lines += [""] + Self.comments(closing) }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func lines(_ keys: [TOMLValue.Entry]) -> [String] {
        let places = Dictionary(uniqueKeysWithValues: order.enumerated().map { ($1, $0) })
        return keys.sorted { (places[$0.key] ?? order.count) < (places[$1.key] ?? order.count) }
            .flatMap { $0.value.lines(TOMLValue.name($0.key)) }
    }

    /// Comments, broken into lines at blanks. An empty one is an empty comment.
    private static func comments(_ comments: [String]) -> [String] {
        comments.flatMap { comment -> [String] in
            var lines = ["#"]
            let indent = comment.hasPrefix("- ") ? "  " : ""
            // What others have written must not end the comment.
            for word in comment.inOneLine.split(separator: " ") {
                let last = lines[lines.count - 1]
                if last.count + word.count >= TOMLValue.width, last != "#" {
                    lines.append("# \(indent)\(word)")
                } else {
                    lines[lines.count - 1] = "\(last) \(word)"
                }
            }
            return lines
        }
    }
}

/// Names for services, from names that others chose.
struct ImportedNames {
    /// Why a name is not the one that was asked for.
    static let rule =
        "a service's name is its own, begins with a letter or digit, and has up to 50 letters, digits and -_.@"

    private var taken: Set<String> = []

    /// A name that no other service has, as near to the text as may be.
    ///
    /// - Parameter instances: how many instances share the name; `nil` for a service without.
    mutating func name(for text: String, instances: Int? = nil) -> String {
        let allowed = text.map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.@".contains($0)) ? $0 : "-" }
        var base = String(allowed.drop { !$0.isLetter && !$0.isNumber })
        if base.isEmpty { base = "service" }
        for attempt in 1... {
            let suffix = attempt == 1 ? "" : "-\(attempt)"
            // The number of an instance counts, too.
            let stem = String(base.prefix(50 - suffix.count - (instances.map { "@\($0)".count } ?? 0)))
            let all = instances.map { count in (1...max(1, count)).map { "\(stem + suffix)@\($0)" } } ?? []
            guard taken.isDisjoint(with: all + [stem + suffix]) else { continue }
            taken.formUnion(all + [stem + suffix])
            return stem + suffix
        }
        return base
    }
}
