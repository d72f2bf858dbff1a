internal import CLinux
internal import Glibc
package import LinuxSystem
package import SandboxValues
internal import SystemPackage

/// A service's directory: how it is to be run, how it stands, and where its keeper is reached. Only its owner may enter.
package struct ServiceDirectory: Sendable {
    package let path: String

    package init(_ path: String) { self.path = path }

    /// The service's name.
    package var name: String { path.split(separator: "/").last.map(String.init) ?? path }

    /// The services that this one is among.
    package var store: ServiceStore { ServiceStore(root: String(path.dropLast(name.utf8.count + 1))) }

    private func file(_ name: String) -> String { path + "/" + name }

    /// What the keeper listens at.
    private var control: String { file("control") }
    /// The FIFO that the service writes to.
    package var output: String { file("output") }
    /// The default of `LogRules.path`.
    package var log: String { file("log") }
    /// The notes of `LogTimes`.
    package var logTimes: String { file("log-times") }
    private var record: String { file("record.json") }

    /// Whether a process has the FIFO open to read from it.
    var isOutputHeld: Bool { (try? Descriptor(opening: output, O_WRONLY | O_NONBLOCK)) != nil }

    /// Makes the directory and those above it.
    package func make() throws(SystemError) {
        let parts = path.split(separator: "/")
        for count in 1...parts.count {
            let part = "/" + parts.prefix(count).joined(separator: "/")
            if isDirectory(part) { continue }
            guard mkdir(part, 0o700) == 0 || errno == EEXIST else {
                throw SystemError("mkdir", path: part, errno: Errno(rawValue: errno))
            }
        }
    }

    /// - Throws: `EPERM` for a directory of somebody else's: what is in it would be executed.
    package func open() throws(SystemError) -> Descriptor {
        let opened = try Descriptor(opening: path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        guard opened.owner == ThisProcess.effectiveUserID else {
            throw SystemError("open", path: path, errno: .notPermitted)
        }
        return opened
    }

    // MARK: What is written down

    /// How the service is to be run: the words after `cgrun service start`, the environment and the working directory of
    /// whoever started it, and what it requires. Byte for byte, with a NUL after each.
    package struct Order: Sendable, Equatable {
        package var words: [ByteString]
        package var environment: [ByteString]
        package var workingDirectory: ByteString
        /// The services that this one requires, for whoever stops several.
        package var requirements: [ServicePlan.Requirement]

        package init(
            words: [ByteString], environment: [ByteString], workingDirectory: ByteString,
            requirements: [ServicePlan.Requirement] = []
        ) {
            self.words = words
            self.environment = environment.filter { !Self.isForeign($0) }
            self.workingDirectory = workingDirectory
            self.requirements = requirements
        }

        /// Whether a variable is about the process of whoever starts the service: sockets that it was handed, its own
        /// watchdog, its own output.
        private static func isForeign(_ assignment: ByteString) -> Bool {
            let name = String(decoding: assignment.bytes.prefix { $0 != UInt8(ascii: "=") }, as: UTF8.self)
            return [
                "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "LISTEN_PID", "LISTEN_FDS",
                "LISTEN_FDNAMES", "INVOCATION_ID", "SYSTEMD_EXEC_PID", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE",
            ].contains(name)
        }
    }

    /// A token of the last start by somebody: what systemd still does for an earlier one means nothing.
    package var token: String? { try? readTextFile(file("token")) }

    /// - Throws: `ENOENT` for a service that was never started.
    package func order() throws(SystemError) -> Order {
        func words(_ name: String) throws(SystemError) -> [ByteString] {
            let bytes = try Descriptor(opening: file(name), O_RDONLY).readBytes(path: file(name))
            return bytes.split(separator: 0, omittingEmptySubsequences: false).dropLast().compactMap { ByteString($0) }
        }
        return Order(
            words: try words("words"), environment: try words("environment"),
            workingDirectory: try words("directory").first ?? "/",
            requirements: ((try? words("requires")) ?? []).compactMap { ServicePlan.Requirement($0.description) })
    }

    package func write(_ order: Order) throws(SystemError) {
        try replace("environment", Self.bytes(order.environment))
        try replace("directory", Self.bytes([order.workingDirectory]))
        try writeRequirements(of: order)
        // Last, since a directory without it has no order.
        try replace("words", Self.bytes(order.words))
    }

    private static func bytes(_ words: [ByteString]) -> [UInt8] { words.flatMap { $0.bytes + [0] } }

    /// How the service stood at the last change, as its keeper has written it.
    package func readRecord() throws(SystemError) -> [UInt8] {
        try Descriptor(opening: record, O_RDONLY).readBytes(path: record)
    }

    /// Has the next keeper begin without what an earlier one has written down.
    package func forgetRecord() throws(SystemError) {
        // First: whoever finds no record finds this token.
        try replace("token", Array(Machine.randomHexadecimal().utf8))
        unlink(record)
    }

    /// Whether the service was ever started.
    package var hasOrder: Bool { access(file("words"), F_OK) == 0 }

    package func writeRecord(_ bytes: [UInt8]) throws(SystemError) { try replace("record.json", bytes) }

    /// Replaces a file in one step. Not by `OutputFile`, which waits for the disk: a record is of no use after a crash of
    /// the machine.
    private func replace(_ name: String, _ bytes: [UInt8]) throws(SystemError) {
        let new = file(".\(name).\(ThisProcess.id)")
        do {
            let opened = try Descriptor(opening: new, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
            try opened.write(bytes, path: new)
            try checkErrno(rename(new, file(name)), "rename", path: file(name))
        } catch {
            unlink(new)
            throw error
        }
    }

    // MARK: Locks

    /// Whoever starts a service has this lock meanwhile, so that starts come one after the other.
    package func lockForStart() throws(SystemError) -> Descriptor {
        while true {
            let opened: Descriptor
            do { opened = try Descriptor(opening: file("lock"), O_RDWR | O_CREAT, mode: 0o600) } catch
                where error.errno == .noSuchFileOrDirectory
            {
                try make()
                continue
            }
            while flock(opened.rawValue, LOCK_EX) != 0 {
                guard errno == EINTR else {
                    throw SystemError("flock", path: file("lock"), errno: Errno(rawValue: errno))
                }
            }
            var facts = stat()
            if stat(file("lock"), &facts) == 0, opened.inode == UInt(facts.st_ino) { return opened }
            // The service was removed meanwhile.
        }
    }

    /// Removes all that is known of the service. To be called with the lock of starts.
    package func remove() throws(SystemError) {
        // Under another name first, so that a start that comes now makes a new directory.
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        let doomed = "\(path[..<slash])/.\(name).\(Machine.randomHexadecimal())"
        try checkErrno(rename(path, doomed), "rename", path: path)
        for name in try listing(doomed) { unlink(doomed + "/" + name) }
        try checkErrno(rmdir(doomed), "rmdir", path: path)
    }

    /// Writes down what a service that runs requires, if nothing else of its order has changed.
    package func writeRequirements(of order: Order) throws(SystemError) {
        try replace("requires", Self.bytes(order.requirements.compactMap { ByteString($0.description.utf8) }))
    }

    /// The keeper's lock, which it has for as long as it lives.
    ///
    /// A keeper that was killed while it started the command leaves the lock to that child, until this executes the
    /// command. So the lock is waited for.
    ///
    /// - Returns: `nil` when another keeper has it.
    package func lockForKeeping() throws(SystemError) -> Descriptor? {
        let opened = try Descriptor(opening: file("keeper"), O_RDWR | O_CREAT, mode: 0o600)
        var pause = Duration.milliseconds(2)
        while try !opened.tryLock() {
            if try isAnswered() { return nil }
            Poller.pause(pause)
            pause = min(pause * 2, .seconds(1))
        }
        return opened
    }

    /// The same lock, without waiting.
    ///
    /// - Returns: `nil` if a keeper has it, or cannot be told.
    func lockIfUnkept() -> Descriptor? {
        guard let opened = try? Descriptor(opening: file("keeper"), O_RDWR | O_CREAT, mode: 0o600),
            (try? opened.tryLock()) == true
        else { return nil }
        return opened
    }

    /// The lock of starts, without waiting.
    ///
    /// - Returns: `nil` if somebody has it.
    package func lockIfNotStarted() -> Descriptor? {
        guard let opened = try? Descriptor(opening: file("lock"), O_RDWR), (try? opened.tryLock()) == true else {
            return nil
        }
        return opened
    }

    /// Whether a keeper answers. A keeper that was killed may have left its socket, too, to the child.
    private func isAnswered() throws(SystemError) -> Bool {
        guard let socket = try connect() else { return false }
        var poller = Poller()
        poller.add(socket.rawValue)
        guard poller.wait(.milliseconds(200))[0] else { return false }
        var byte: UInt8 = 0
        return clinux_read(socket.rawValue, &byte, 1) > 0
    }

    // MARK: Sockets

    /// Listens for those who want something of the keeper. To be called by the keeper alone.
    func listen() throws(SystemError) -> Descriptor {
        unlink(control)
        return try withShortPath { path throws(SystemError) in
            Descriptor(owning: try check(clinux_listen_packets(path), "bind", path: control))
        }
    }

    func removeSocket() { unlink(control) }

    /// - Returns: `nil` where there is no keeper.
    func connect() throws(SystemError) -> Descriptor? {
        do {
            return try withShortPath { path throws(SystemError) in
                Descriptor(owning: try check(clinux_connect_packets(path), "connect", path: control))
            }
        } catch {
            switch error.errno {
            case .connectionRefused, .noSuchFileOrDirectory: return nil
            case .resourceTemporarilyUnavailable:
                // Too many ask at once.
                Poller.pause(.milliseconds(20))
                return try connect()
            default: throw error
            }
        }
    }

    /// A socket's path must be short, and that of a directory may be long.
    private func withShortPath(
        _ body: (String) throws(SystemError) -> Descriptor
    ) throws(SystemError) -> Descriptor {
        let directory = try open()
        return try body("/proc/self/fd/\(directory.rawValue)/control")
    }
}

extension LogRules {
    /// The log, as statuses name it.
    package func name(in directory: ServiceDirectory) -> String { isJournal ? Self.journal : path ?? directory.log }
}

/// All services of a user.
package struct ServiceStore: Sendable {
    package let root: String

    package init(root: String) { self.root = root }

    /// - Throws: `ENOENT` where no directory can be derived from the environment.
    package init() throws(SystemError) {
        if let given = ThisProcess.environmentVariable("CGRUN_STATE_DIRECTORY"), given.hasPrefix("/") {
            root = given + "/services"
        } else if ThisProcess.effectiveUserID == 0 {
            root = "/var/lib/cgrun/services"
        } else if let state = ThisProcess.environmentVariable("XDG_STATE_HOME"), state.hasPrefix("/") {
            root = state + "/cgrun/services"
        } else if let home = ThisProcess.environmentVariable("HOME"), home.hasPrefix("/") {
            root = home + "/.local/state/cgrun/services"
        } else {
            throw SystemError(
                "open", path: "$CGRUN_STATE_DIRECTORY, $XDG_STATE_HOME or $HOME", errno: .noSuchFileOrDirectory)
        }
    }

    package func directory(_ name: ServiceName) -> ServiceDirectory {
        ServiceDirectory(root + "/" + name.description)
    }

    /// All services that were ever started, by name.
    package var names: [ServiceName] {
        ((try? listing(root)) ?? []).compactMap { try? ServiceName($0) }.filter { directory($0).hasOrder }
            .sorted { $0.description < $1.description }
    }
}
