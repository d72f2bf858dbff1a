/// What a conversion asks of the machine. This library itself looks at nothing else: each question is a closure that
/// the caller answers, from the machine or otherwise.
public struct SupervisorSurroundings: Sendable {
    /// The text of the configuration file with this absolute path; `nil` where it cannot be read, which ends the
    /// conversion.
    public var readFile: @Sendable (_ path: String) -> String?
    /// The paths that an absolute shell pattern of `[include]` matches, in any order; none are not an error.
    public var glob: @Sendable (_ pattern: String) -> [String]
    /// The value that a variable has in supervisord's environment, for `%(ENV_X)s` and for `~` in the names of log
    /// files (`HOME`); `nil` where it is not set.
    public var environment: @Sendable (_ name: String) -> String?
    /// The absolute path of a program whose name has no slash; `nil` where there is none, which ends the conversion.
    /// The directories to look in come from a `PATH` in the configuration; where there is none, they are `nil`, and
    /// supervisord's own `PATH` counts.
    public var findExecutable: @Sendable (_ name: String, _ directories: [String]?) -> String?
    /// The group of a user, by name or number, which the user's socket gets; `nil` leaves it to systemd.
    public var primaryGroup: @Sendable (_ user: String) -> String?
    /// What `%(host_node_name)s` stands for.
    public var hostName: String

    /// Surroundings with these answers. Those left out find nothing, and the host is `localhost`.
    public init(
        readFile: @escaping @Sendable (String) -> String?, glob: @escaping @Sendable (String) -> [String] = { _ in [] },
        environment: @escaping @Sendable (String) -> String? = { _ in nil },
        findExecutable: @escaping @Sendable (String, [String]?) -> String? = { _, _ in nil },
        primaryGroup: @escaping @Sendable (String) -> String? = { _ in nil }, hostName: String = "localhost"
    ) {
        self.readFile = readFile
        self.glob = glob
        self.environment = environment
        self.findExecutable = findExecutable
        self.primaryGroup = primaryGroup
        self.hostName = hostName
    }
}
