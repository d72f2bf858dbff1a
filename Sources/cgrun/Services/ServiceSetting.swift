internal import SandboxValues
internal import Services

/// The options of `cgrun service start` that are not options of `cgrun run`.
enum ServiceSetting: String, CaseIterable {
    case restart
    case backoff
    case healthyAfter = "healthy-after"
    case giveUp = "give-up"
    case ready
    case readyTimeout = "ready-timeout"
    case watchdog
    case log
    case logMax = "log-max"
    case logKeep = "log-keep"
    case reloadSignal = "reload-signal"
    case reloadCommand = "reload-command"
    case pidFile = "pid-file"

    var valueName: String {
        switch self {
        case .restart: "no|on-failure|always"
        case .backoff: "first..longest"
        case .healthyAfter, .readyTimeout, .watchdog: "duration"
        case .giveUp: "n/duration|never"
        case .ready: "how"
        case .log: "file|journal"
        case .logMax: "size"
        case .logKeep: "n"
        case .reloadSignal: "name"
        case .reloadCommand: "command"
        case .pidFile: "file"
        }
    }

    var help: String {
        switch self {
        case .restart:
            "After which ends the command is started again: no, on-failure (default), or always. A stop by cgrun is none of them."
        case .backoff:
            "The pause before the first restart, which doubles with each further one, and the longest (default: 1s..60s)."
        case .healthyAfter: "How long the command must have run for the pauses to begin anew (default: 60s)."
        case .giveUp: "How many failures within how long are the last (default: 10/10m)."
        case .ready:
            "When the service is ready: delay=DURATION, once it has run for so long (default: delay=500ms); tcp=[ADDRESS:]PORT, once it accepts connections; http=URL, once it answers there with a status from 200 to 399; exec=COMMAND, once this exits with 0; notify, once it says READY=1 as sd_notify(3) does; log=TEXT, once it has written this text."
        case .readyTimeout: "How long it may take to be ready, before it is stopped as a failure (default: 60s)."
        case .watchdog:
            "Once it is ready, stop the service as a failure if it does not say WATCHDOG=1 for so long, as sd_notify(3) does. The variable WATCHDOG_USEC tells it the time."
        case .log:
            "Write the command's output to this file (default: log in the service's directory), or to systemd's journal (journal)."
        case .logMax: "Set the file aside as FILE.1 once it has this size (default: 16M)."
        case .logKeep: "How many files that were set aside to keep (default: 3)."
        case .reloadSignal: "What cgrun service reload sends to the main process (default: HUP)."
        case .reloadCommand:
            "What cgrun service reload runs instead, with the main process in the variable MAINPID. Quotes hold words together; there is no shell."
        case .pidFile:
            "Write the pid of the main process to this file while it runs, for other programs. cgrun never reads it."
        }
    }

    func apply(_ text: String, to spec: inout ServiceSpec) throws(LimitSyntaxError) {
        switch self {
        case .restart: spec.restart.policy = try RunRequest.choice(text)
        case .backoff:
            let parts = text.split(separator: "..", maxSplits: 1, omittingEmptySubsequences: false)
            let accepted = LimitSyntaxError(accepted: "one duration or two, such as 1s..60s")
            guard let first = try? Duration(parsingLimit: String(parts[0])),
                let longest = parts.count == 1 ? first : try? Duration(parsingLimit: String(parts[1])),
                first <= longest
            else { throw accepted }
            (spec.restart.firstPause, spec.restart.longestPause) = (first, longest)
        case .healthyAfter: spec.restart.healthyAfter = try Duration(parsingLimit: text, zeroAllowed: true)
        case .giveUp:
            if text == "never" {
                spec.restart.giveUpAfter = nil
                return
            }
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, let count = Int(parts[0]), count > 0, !parts[0].hasPrefix("+"),
                let window = try? Duration(parsingLimit: String(parts[1]))
            else { throw LimitSyntaxError(accepted: "a number of failures and a time, such as 10/10m, or never") }
            (spec.restart.giveUpAfter, spec.restart.giveUpWithin) = (count, window)
        case .ready: spec.readiness = try Readiness(parsing: text)
        case .readyTimeout: spec.readyTimeout = try Duration(parsingLimit: text)
        case .watchdog: spec.watchdog = try Duration(parsingLimit: text)
        case .log:
            guard text.hasPrefix("/") || !text.isEmpty && text != "-" else {
                throw LimitSyntaxError(accepted: "a file")
            }
            spec.log.isJournal = text == LogRules.journal
            spec.log.path = spec.log.isJournal ? nil : text
        case .logMax:
            guard let bytes = try? MemoryAmount(parsing: text).bytes, bytes >= 4096 else {
                throw LimitSyntaxError(accepted: "a size of 4K or more, such as 16M")
            }
            spec.log.longest = bytes
        case .logKeep:
            guard let count = Int(text), (0...100).contains(count), !text.hasPrefix("+") else {
                throw LimitSyntaxError(accepted: "a number from 0 to 100")
            }
            spec.log.kept = count
        case .reloadSignal: spec.reload = .signal(try Signal(parsingOption: text))
        case .reloadCommand: spec.reload = .command(try Self.command(text))
        case .pidFile:
            guard !text.isEmpty else { throw LimitSyntaxError(accepted: "a file") }
            spec.pidFile = text
        }
    }
}

extension ServiceSetting {
    /// A command in one text.
    static func command(_ text: String) throws(LimitSyntaxError) -> [ByteString] {
        let words: [String]
        do { words = try CommandWords.split(text) } catch {
            throw LimitSyntaxError(accepted: "a command with \(error.accepted)")
        }
        guard let first = words.first, !first.isEmpty else { throw LimitSyntaxError(accepted: "a command") }
        return words.compactMap { ByteString($0.utf8) }
    }
}

extension Readiness.HTTPRequest {
    /// - Parameter url: such as `http://127.0.0.1:8080/health`.
    fileprivate init?(_ url: String) {
        guard url.lowercased().hasPrefix("http://"), url.utf8.count <= 2048, url.utf8.allSatisfy({ (33...126) ~= $0 })
        else { return nil }
        let rest = url.dropFirst(7)
        let slash = rest.firstIndex { "/?".contains($0) } ?? rest.endIndex
        let authority = rest[..<slash]
        var end = rest[slash...].prefix { $0 != "#" }
        if end.first != "/" { end = "/" + end }
        // The last colon is that of the port, unless it is inside the brackets of an address.
        let colon = authority.last == "]" ? nil : authority.lastIndex(of: ":")
        var address = String(authority[..<(colon ?? authority.endIndex)])
        let port = colon.map { authority[authority.index(after: $0)...] } ?? "80"
        if address == "localhost" { address = "127.0.0.1" }
        let isBracketed = address.hasPrefix("[") && address.hasSuffix("]")
        if isBracketed { address = String(address.dropFirst().dropLast()) }
        guard address.contains(":") == isBracketed, Readiness.isAddress(address), let number = UInt16(port), number > 0,
            !port.hasPrefix("+")
        else { return nil }
        self.init(address: address, port: number, host: String(authority), path: String(end))
    }
}

extension Readiness {
    private static let accepted =
        "delay=DURATION, tcp=[ADDRESS:]PORT or http=http://ADDRESS[:PORT]/PATH with a numeric address, exec=COMMAND, notify, or log=TEXT"

    init(parsing text: String) throws(LimitSyntaxError) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let value = parts.count == 2 ? String(parts[1]) : nil
        switch (parts[0], value) {
        case ("notify", nil): self = .notify
        case ("delay", let value?): self = .delay(try Duration(parsingLimit: value, zeroAllowed: true))
        case ("log", let value?) where !value.isEmpty && value.utf8.count <= 4096: self = .log(value)
        case ("exec", let value?): self = .exec(try ServiceSetting.command(value))
        case ("http", let value?):
            guard let request = HTTPRequest(value) else { throw LimitSyntaxError(accepted: Self.accepted) }
            self = .http(request)
        case ("tcp", let value?):
            let colon = value.lastIndex(of: ":")
            let port = value[(colon.map { value.index(after: $0) } ?? value.startIndex)...]
            var address = colon.map { String(value[..<$0]) } ?? "127.0.0.1"
            if address == "localhost" { address = "127.0.0.1" }
            if address.hasPrefix("["), address.hasSuffix("]") { address = String(address.dropFirst().dropLast()) }
            guard let number = UInt16(port), number > 0, !port.hasPrefix("+"), Readiness.isAddress(address) else {
                throw LimitSyntaxError(accepted: Self.accepted)
            }
            self = .tcp(address: address, port: number)
        default: throw LimitSyntaxError(accepted: Self.accepted)
        }
    }
}
