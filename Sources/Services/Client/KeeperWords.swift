package import SandboxValues

/// What a keeper's program is called with.
package enum KeeperWords {
    /// The name by which it knows that it is one: with nothing else, and the service's directory in a message on
    /// descriptor 3.
    package static let name = "cgrun-keeper"

    package static let own: [ByteString] = [ByteString(name.utf8)!]

    /// How systemd starts a keeper, which may have nothing but its words.
    ///
    /// - Parameter token: that of the start which the unit is for.
    static func start(_ directory: String, _ token: String) -> [String] { [name, "start", directory, token] }
    /// How systemd has a keeper stop its service.
    static func stop(_ directory: String, _ token: String) -> [String] { [name, "stop", directory, token] }
    /// What the first of these becomes.
    package static func own(_ token: String) -> [ByteString] { own + [ByteString(token.utf8) ?? ""] }

    /// What a program with these words is to do for systemd.
    package enum Request: Equatable {
        case start(directory: String, token: String)
        case stop(directory: String, token: String)
        /// To keep a service, with a message on descriptor 3.
        case keep(token: String?)
    }

    package static func request(_ words: [String]) -> Request {
        guard words.count == 4 else { return .keep(token: words.count > 1 ? words[1] : nil) }
        return words[1] == "stop"
            ? .stop(directory: words[2], token: words[3]) : .start(directory: words[2], token: words[3])
    }
}
