internal import SandboxValues
internal import SystemdUnits

/// The services that a Procfile's processes become.
struct ProcfileImport {
    let text: ServiceFileText
    let findings: [Finding]

    /// The file of variables beside the Procfile.
    enum Variables {
        case none
        case some([EnvironmentFile.Entry])
        /// The number of a line that is no variable.
        case mistake(line: Int)
    }

    /// What foreman gives the first process as its port, and how far the next one's is from it.
    private static let (firstPort, portStep) = (5000, 100)

    /// - Parameters:
    ///   - path: the Procfile's, for the comment at the top.
    ///   - directory: where the Procfile is; `nil`: where the new file will be.
    init(_ procfile: Procfile, path: String, directory: String?, variables: Variables) throws(UsageError) {
        var text = ServiceFileText(comments: [
            "Written by cgrun service import from \(path.asName). `cgrun up` starts all of it, `cgrun down` stops it.",
            "PORT is what foreman gives: \(Self.firstPort), or PORT of .env, to the first process, and \(Self.portStep) "
                + "more to each further one.",
        ])
        var findings: [Finding] = []
        func tell(_ key: String, _ value: String, _ grade: Grade, _ result: String, _ note: String) {
            findings.append(Finding(path, key, value, grade, result, note))
        }
        text.defaultComments = [
            "foreman ends all processes once one has ended. Here one that fails is started again, and the others go on."
        ]
        text.defaults = [TOMLValue.Entry(key: "restart", value: .text("on-failure"))]
        tell("(end of a process)", "", .approximate, "restart = \"on-failure\"", "foreman ends all the others instead")
        if let directory { text.defaults.append(TOMLValue.Entry(key: "dir", value: .text(directory))) }
        let file = (directory.map { $0 == "/" ? "/" : $0 + "/" } ?? "") + ".env"
        switch variables {
        case .none: break
        case .some(let entries):
            text.defaults.append(TOMLValue.Entry(key: "env-file", value: .text(file)))
            if let escaped = entries.first(where: { $0.quote == "\"" && $0.value.contains("\\") }) {
                let note =
                    "line \(escaped.line): to foreman, a backslash between double quotes begins an escape such as "
                    + "\\n; here it stays a backslash"
                text.defaultComments.append("\(file.asName), \(note).")
                tell(".env", "", .approximate, "env-file", note)
            } else {
                tell(".env", "", .exact, "env-file", "")
            }
        case .mistake(let line):
            let note = "line \(line) is not \(EnvironmentFile.accepted)"
            text.defaultComments.append("\(file.asName) is not read: its \(note). Correct it, and add env-file.")
            tell(".env", "", .dropped, "", note)
        }
        let release = procfile.processes.first { $0.name == "release" }
        var names = ImportedNames()
        let ports = try Self.ports(of: procfile, path: path, variables, file: file)
        let releaseName = release.map { names.name(for: $0.name) }
        for (index, process) in procfile.processes.enumerated() {
            let isRelease = process.name == release?.name
            var table = ServiceFileText.Table(
                name: isRelease ? releaseName ?? "" : names.name(for: process.name))
            if table.name != process.name {
                let note = ImportedNames.rule
                table.comments.append("\(process.name) in the Procfile: \(note).")
                tell(process.name, "", .approximate, "service.\(table.name)", note)
            }
            do { table["command"] = .texts(try ShellCommand.words(process.command)) } catch {
                throw UsageError("\(path.asName):\(process.line): \(process.name): expected \(error.accepted)")
            }
            if isRelease {
                table.comments.append(
                    "Runs to its end before the others are started, as at Heroku. foreman runs it beside them.")
                table["restart"] = .text("no")
                tell("release", process.command, .approximate, "requires = { release = \"completed\" }", "as at Heroku")
            } else {
                table["env"] = .table([("PORT", "\(ports[index])")])
                if let releaseName {
                    table["requires"] = .table([(releaseName, "completed")])
                }
            }
            text.services.append(table)
        }
        self.text = text
        self.findings = findings
    }

    /// The ports of all processes, which foreman counts from `PORT` of the file on.
    private static func ports(
        of procfile: Procfile, path: String, _ variables: Variables, file: String
    ) throws(UsageError) -> [Int] {
        let valid = 1...65_535
        var entry: EnvironmentFile.Entry?
        if case .some(let entries) = variables { entry = entries.last { $0.name == "PORT" } }
        var first = firstPort
        if let entry {
            let isNumber = entry.value.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            guard isNumber, let port = Int(entry.value), valid.contains(port) else {
                throw UsageError(
                    "\(file.asName):\(entry.line): PORT=\(entry.value.inOneLine): expected a port from 1 to 65535")
            }
            first = port
        }
        let ports = procfile.processes.indices.map { first + portStep * $0 }
        if let place = ports.firstIndex(where: { !valid.contains($0) }) {
            let process = procfile.processes[place]
            let origin = entry.map { "\(file.asName):\($0.line): PORT=\(first)" } ?? "PORT of the first is \(first)"
            throw UsageError(
                "\(path.asName):\(process.line): \(process.name): its PORT would be \(ports[place]) (\(origin)); expected "
                    + "ports up to 65535, each \(portStep) more than the one before")
        }
        return ports
    }
}
