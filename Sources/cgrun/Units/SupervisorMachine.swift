internal import Glibc
internal import LinuxSystem
internal import SystemdUnits

extension SupervisorSurroundings {
    /// This machine, and the environment of this process.
    static let machine = SupervisorSurroundings(
        readFile: { path in
            // Bytes that are not UTF-8 would have become U+FFFD on the way, and the units would differ from the file.
            guard let text = try? readTextFile(path), !text.unicodeScalars.contains("\u{FFFD}") else { return nil }
            return text
        },
        glob: { pattern in
            var found = glob_t()
            defer { globfree(&found) }
            guard Glibc.glob(pattern, 0, nil, &found) == 0 else { return [] }
            return (0..<Int(found.gl_pathc)).compactMap { found.gl_pathv[$0].map { String(cString: $0) } }
        },
        environment: { ThisProcess.environmentVariable($0) },
        findExecutable: { name, directories in ExecutableSearch.find(name, in: directories) },
        primaryGroup: { user in
            guard let credentials = try? UserDatabase.credentials(user: user, group: nil) else { return nil }
            return getgrgid(credentials.gid).map { String(cString: $0.pointee.gr_name) } ?? String(credentials.gid)
        },
        hostName: Machine.hostName)
}

extension [Finding] {
    /// Tells people what became of each key, on stderr, so that what is made can be piped.
    ///
    /// - Parameter all: with what is kept exactly.
    func tell(all: Bool) {
        let shown = filter { all || $0.grade != .exact }
        let counts = Grade.allCases.map { grade in "\(count { $0.grade == grade }) \(grade.rawValue)" }
        let text = (shown.isEmpty ? "" : Finding.table(shown)) + counts.joined(separator: ", ") + "\n"
        let bytes = Array<UInt8>(text.utf8)
        _ = bytes.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }
}
