package import SandboxValues

/// The words of the command line with which cgrun is executed as a keeper.
package enum KeeperWords {
    /// The first word, by which the program knows that it is to be a keeper.
    package static let name = "cgrun-keeper"

    /// The words of a keeper that a client or a guard has started. The service's directory comes in a message on
    /// descriptor 3.
    package static let own: [ByteString] = [ByteString(name.utf8)!]

    /// How systemd starts a keeper, which may have nothing but its words.
    ///
    /// - Parameter token: that of the start which the unit is for.
    static func start(_ directory: String, _ token: String) -> [String] { [name, "start", directory, token] }
    /// How systemd has a keeper stop its service.
    static func stop(_ directory: String, _ token: String) -> [String] { [name, "stop", directory, token] }
    /// The words of a keeper that systemd has started, once it has executed itself with the service's environment.
    package static func own(_ token: String) -> [ByteString] { own + [ByteString(token.utf8) ?? ""] }

    /// What a process that was executed with such words is to do.
    package enum Request: Equatable {
        /// To become the keeper of the service with this directory, for systemd.
        case start(directory: String, token: String)
        /// To have the service stopped, for systemd.
        case stop(directory: String, token: String)
        /// To keep the service of the message on descriptor 3.
        case keep(token: String?)
    }

    /// - Parameter words: all words of the command line, of which the first is `name`.
    package static func request(_ words: [String]) -> Request {
        guard words.count == 4 else { return .keep(token: words.count > 1 ? words[1] : nil) }
        return words[1] == "stop"
            ? .stop(directory: words[2], token: words[3]) : .start(directory: words[2], token: words[3])
    }
}
