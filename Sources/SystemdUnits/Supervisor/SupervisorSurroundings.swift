/// What the reader asks of the machine. Nothing else is looked at.
public struct SupervisorSurroundings: Sendable {
    /// A file's text, or `nil` where it cannot be read.
    public var readFile: @Sendable (_ path: String) -> String?
    /// The files that a shell pattern matches.
    public var glob: @Sendable (_ pattern: String) -> [String]
    /// For `%(ENV_X)s`: the environment that supervisord would have.
    public var environment: @Sendable (_ name: String) -> String?
    /// The path of a program that is named without one; the directories are those of the
    /// configuration's own `PATH`, `nil` for supervisord's.
    public var findExecutable: @Sendable (_ name: String, _ directories: [String]?) -> String?
    /// The group that files of a user's socket get.
    public var primaryGroup: @Sendable (_ user: String) -> String?
    public var hostName: String

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
