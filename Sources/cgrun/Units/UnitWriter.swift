internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemdUnits

/// Puts files into a unit directory: all of them or none, each in one step.
struct UnitWriter {
    let directory: String
    /// The option that named the directory, for messages.
    let option: String
    let isUser: Bool
    let isForced: Bool
    /// The permissions of new files; `nil` for those of units, which everybody may read.
    var permissions: ImportPermissions?
    /// Whether there must be no file of the name, even if it has come there only just now.
    var isNew = false

    /// Where systemd looks for system units; a unit there hides those further down the list.
    private static let searchPath = [
        "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ]

    /// - Parameter mayBeMissing: for those who write nothing.
    init(
        directory: String, option: String, isUser: Bool, createsDirectory: Bool, isForced: Bool,
        mayBeMissing: Bool = false
    ) throws(UsageError) {
        let absolute = ThisProcess.absolute(directory)
        (self.directory, self.option, self.isUser, self.isForced) = (absolute, option, isUser, isForced)
        if createsDirectory { Self.makeDirectories(absolute) }
        if mayBeMissing, access(absolute, F_OK) != 0, errno == ENOENT { return }
        guard isDirectory(absolute), access(absolute, W_OK | X_OK) == 0 else {
            throw UsageError("\(option): cannot be written; expected a directory where you may make files")
        }
    }

    /// The unit directory of the user who runs this.
    static func userDirectory() throws(UsageError) -> String {
        if let base = ThisProcess.environmentVariable("XDG_CONFIG_HOME"), base.hasPrefix("/") {
            return base + "/systemd/user"
        }
        guard let home = ThisProcess.environmentVariable("HOME"), home.hasPrefix("/") else {
            throw UsageError("--user-install: expected HOME in the environment")
        }
        return home + "/.config/systemd/user"
    }

    private static func makeDirectories(_ path: String) {
        var made = ""
        for part in path.split(separator: "/") {
            made += "/" + part
            mkdir(made, 0o755)
        }
    }

    /// Writes all files, or says what would change.
    func put(_ files: [(path: String, text: String)], isDiff: Bool) throws {
        var seen: Set<String> = []
        for file in files where !seen.insert(file.path).inserted {
            throw UsageError("\(file.path): two units of this name; expected different names")
        }
        let changed = files.filter { read($0.path) != $0.text }
        if isDiff {
            for file in changed {
                print(
                    LineDiff.text(old: read(file.path), new: file.text, path: directory + "/" + file.path),
                    terminator: "")
            }
            return
        }
        for file in changed { try checkOwnership(file.path, file.text) }
        try replace(changed)
        for file in files {
            Console().note(
                (changed.contains { $0.path == file.path } ? "wrote " : "unchanged: ") + directory + "/" + file.path)
        }
    }

    private func read(_ path: String) -> String? { try? readTextFile(directory + "/" + path) }

    /// A file that somebody else wrote stays, and a unit that comes with a package is not hidden.
    private func checkOwnership(_ path: String, _ text: String) throws(UsageError) {
        guard !isForced else { return }
        var facts = stat()
        if lstat(directory + "/" + path, &facts) == 0 {
            let old = read(path) ?? ""
            guard old.hasPrefix(UnitFile.mark) else {
                throw UsageError(
                    "\(directory)/\(path): exists and was not written by cgrun; expected another name, or --force")
            }
            if let source = Self.source(of: old), source != Self.source(of: text) {
                throw UsageError(
                    "\(directory)/\(path): exists and was made from \(source.asName); expected another name "
                        + "(a conversion takes --prefix), or --force")
            }
        }
        guard Self.searchPath.contains(directory), !path.contains("/") else { return }
        for other in Self.searchPath where other != directory && access(other + "/" + path, F_OK) == 0 {
            throw UsageError(
                "\(path): \(other) has a unit of this name, which would be hidden; expected another name, or --force")
        }
    }

    /// The file that a unit, or a snippet for logrotate, says in its first line that it was made from.
    private static func source(of text: String) -> Substring? {
        let header = text.prefix { !$0.isNewline }
        return header.firstRange(of: " of /").map { header[header.index(before: $0.upperBound)...] }
    }

    /// All files are complete on disk before the first takes its place.
    private func replace(_ files: [(path: String, text: String)]) throws(UsageError) {
        var temporary: [(from: String, to: String)] = []
        var failure: String?
        for file in files {
            let target = directory + "/" + file.path
            if let slash = file.path.lastIndex(of: "/") { Self.makeDirectories(directory + "/" + file.path[..<slash]) }
            // systemd takes no file of this ending for a unit.
            let path = target + ".\(ThisProcess.id).cgrun-new"
            do {
                let descriptor = try Descriptor(opening: path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
                temporary.append((path, target))
                try descriptor.write(Array(file.text.utf8), path: path)
                // The mode of a unit does not depend on the caller's umask: others than root read units, too.
                fchmod(descriptor.rawValue, permissions?.mode(of: descriptor, replacing: target) ?? 0o644)
                if fsync(descriptor.rawValue) != 0 { failure = "\(target): cannot be written" }
            } catch {
                failure = "\(target): cannot be written: \(error)"
            }
            if failure != nil { break }
        }
        if failure == nil {
            for (from, to) in temporary {
                if isNew, link(from, to) == 0 {
                    unlink(from)
                } else if isNew, errno == EEXIST {
                    failure = "\(option): exists; expected the name of a new file, or --force"
                } else if rename(from, to) != 0 {
                    failure = "\(to): cannot be replaced"
                }
            }
        }
        guard let failure else { return }
        for (from, _) in temporary { unlink(from) }
        throw UsageError(failure)
    }

    // MARK: systemctl

    func enable(_ units: [String]) throws {
        guard isUser || Self.searchPath.contains(directory) else {
            throw UsageError("\(option) --enable: expected a directory that systemd reads, such as /etc/systemd/system")
        }
        try systemctl(["daemon-reload"])
        if !units.isEmpty { try systemctl(["enable"] + units) }
    }

    private func systemctl(_ arguments: [String]) throws {
        let words = ["systemctl"] + (isUser ? ["--user"] : []) + arguments
        let program = Program(
            candidates: ["/usr/bin/systemctl", "/bin/systemctl"], arguments: words.compactMap { ByteString($0.utf8) },
            environment: ThisProcess.environment)
        let line = words.joined(separator: " ")
        do {
            let process = try program.start().takeProcess()
            guard try process.waitForEnd() == .exited(code: 0) else {
                throw UsageError("the files are written, but `\(line)` failed")
            }
        } catch let error as SpawnError {
            throw UsageError("the files are written, but `\(line)` could not be run: \(error.system)")
        }
    }
}

/// The difference of two texts, line by line, for people.
enum LineDiff {
    static func text(old: String?, new: String, path: String) -> String {
        let before = (old ?? "").split(separator: "\n", omittingEmptySubsequences: false)
        let after = new.split(separator: "\n", omittingEmptySubsequences: false)
        var result = "--- \(old == nil ? "/dev/null" : path)\n+++ \(path)\n"
        var removed: Set<Int> = []
        var inserted: [Int: Substring] = [:]
        for change in after.difference(from: old == nil ? [] : before) {
            switch change {
            case .remove(let offset, _, _): removed.insert(offset)
            case .insert(let offset, let line, _): inserted[offset] = line
            }
        }
        var index = 0
        for offset in after.indices {
            while removed.contains(index) {
                result += "-\(before[index])\n"
                index += 1
            }
            if let line = inserted[offset] {
                if offset < after.count - 1 || !line.isEmpty { result += "+\(line)\n" }
            } else {
                if offset < after.count - 1 { result += " \(after[offset])\n" }
                index += 1
            }
        }
        for rest in before.indices where rest >= index && removed.contains(rest) { result += "-\(before[rest])\n" }
        return result
    }
}
