internal import ArgumentParser
internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemdUnits

struct ServiceImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Write a cgrun.toml from a Procfile or a configuration of supervisord.",
        usage: "cgrun service import Procfile|supervisord.conf [-o FILE] [--force]",
        discussion: """
            Prints the file; what cannot be kept is told in its comments, and on standard error. supervisord's \
            configuration is read as it reads it, includes too: run this where supervisord would run, since %(ENV_X)s is \
            looked up in this environment.

            Example: cgrun service import Procfile -o cgrun.toml && cgrun up
            """)

    @Argument(help: "A Procfile, or a configuration of supervisord.", completion: .file()) var file: String
    @Option(
        name: [.customShort("o"), .long], help: "Write to this file instead of to stdout.",
        completion: .file(extensions: ["toml"]))
    var output: String?
    @Flag(help: "With --output: overwrite the file.") var force = false
    @Flag(help: "Also tell on standard error what is kept exactly.") var all = false

    private static let accepted = "lines NAME: COMMAND (a Procfile), or sections [program:NAME] (supervisord)"

    func run() throws {
        guard output != nil || !force else { throw UsageError("--force needs --output FILE") }
        if let output { try checkTarget(output) }
        let made = try convert()
        guard made.text.utf8.count <= TOMLReader.largest else {
            throw UsageError(
                "\(file.asName): its services would make a file of \(made.text.utf8.count) bytes; expected no more than the "
                    + "\(TOMLReader.largest) that cgrun up reads")
        }
        if let output { try write(made, to: output) } else { print(made.text, terminator: "") }
        made.findings.tell(all: all)
    }

    // MARK: The new file

    /// What a service file says by now may be somebody's work.
    private func checkTarget(_ path: String) throws(UsageError) {
        guard !path.isEmpty, !path.hasSuffix("/") else {
            throw UsageError("--output \(path.asName): expected the name of a file")
        }
        var facts = stat()
        guard lstat(path, &facts) == 0 else { return }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw UsageError("--output \(path): it is no regular file; expected the name of a new file")
        }
        guard force else { throw UsageError("--output \(path): exists; expected the name of a new file, or --force") }
    }

    private func write(_ made: Made, to path: String) throws {
        var (target, permissions) = (stat(), ImportPermissions())
        let exists = stat(path, &target) == 0
        for source in made.sources + made.others {
            guard !exists || (source.st_dev, source.st_ino) != (target.st_dev, target.st_ino) else {
                throw UsageError("--output \(path): it is one of the files that are imported; expected another name")
            }
        }
        for source in made.sources { permissions.limit(to: source) }
        var writer = try UnitWriter(
            directory: Self.directory(of: path), option: "--output \(path)", isUser: false, createsDirectory: false,
            isForced: true)
        (writer.permissions, writer.isNew) = (permissions, !force)
        let name = path.split(separator: "/").last.map(String.init) ?? path
        try writer.put([(path: name, text: made.text)], isDiff: false)
    }

    // MARK: The old files

    /// A new file's text, and what it was made from.
    struct Made {
        var text: String
        var findings: [Finding]
        /// The facts of the files that were read, of which something may be in the text.
        var sources: [stat]
        /// Those of files that were read, too, and of which no more than a port is in the text.
        var others: [stat] = []
    }

    func convert() throws -> Made {
        let name = file.split(separator: "/").last.map(String.init) ?? file
        let source = try SourceFile(file, accepted: Self.accepted)
        switch try kind(source.text, name) {
        case .procfile:
            let procfile = try Procfile(source.text, path: file)
            let (variables, facts) = Self.variables(Self.directory(of: file) + "/.env")
            let made = try ProcfileImport(procfile, path: name, directory: directoryToName, variables: variables)
            return Made(text: made.text.text, findings: made.findings, sources: [source.facts], others: facts)
        case .supervisor:
            let (first, sources) = (ThisProcess.absolute(file), SourceFacts([source.facts]))
            var surroundings = SupervisorSurroundings.machine
            surroundings.readFile = { path in
                // What was read from a pipe cannot be read again.
                if path == first { return source.text }
                guard let file = try? SourceFile(path, accepted: "") else { return nil }
                sources.list.withLock { $0.append(file.facts) }
                return file.text
            }
            do {
                let made = try SupervisorImport(file: first, name: name, surroundings: surroundings)
                return Made(text: made.text.text, findings: made.findings, sources: sources.list.withLock { $0 })
            } catch let error as SupervisorError { throw UsageError("\(error)") }
        }
    }

    /// A list that a closure adds to.
    private final class SourceFacts: Sendable {
        let list: Locked<[stat]>
        init(_ list: [stat]) { self.list = Locked(list) }
    }

    private enum Kind { case procfile, supervisor }

    /// By what is in the file, and then by what it is called.
    private func kind(_ text: String, _ name: String) throws(UsageError) -> Kind {
        let sections = ["[program:", "[fcgi-program:", "[group:", "[eventlistener:", "[supervisord]", "[include]"]
        let lines = text.split(whereSeparator: \.isNewline)
        if lines.contains(where: { line in sections.contains { line.hasPrefix($0) } }) { return .supervisor }
        if name.hasPrefix("Procfile") || Procfile.isLike(text) { return .procfile }
        throw UsageError("\(file.asName): it has no service; expected \(Self.accepted)")
    }

    private static func directory(of path: String) -> String {
        "/" + ThisProcess.absolute(path).split(separator: "/").dropLast().joined(separator: "/")
    }

    /// The Procfile's directory; `nil` where the new file will be there, too. What goes to stdout is for the directory
    /// that the command is called in.
    private var directoryToName: String? {
        let target = output.map(Self.directory) ?? ThisProcess.currentDirectory ?? "/"
        let directory = Self.directory(of: file)
        var (a, b) = (stat(), stat())
        return stat(target, &a) == 0 && stat(directory, &b) == 0 && (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
            ? nil : directory
    }

    private static func variables(_ path: String) -> (ProcfileImport.Variables, [stat]) {
        var facts = stat()
        if stat(path, &facts) != 0, errno == ENOENT { return (.none, []) }
        // What cannot be read is named all the same: then cgrun up says why.
        guard facts.st_mode & S_IFMT == S_IFREG, let source = try? SourceFile(path, accepted: "") else {
            return (.some([]), [])
        }
        do { return (.some(try EnvironmentFile.entries(source.text)), [source.facts]) } catch {
            return (.mistake(line: error.line), [])
        }
    }
}
