import LinuxSystem
import Glibc

/// What a test leaves behind: processes with its marker, and cgroups that came into being since it began.
package struct Leftovers: Sendable, CustomStringConvertible {
    private let marker: Marker
    private let before: Set<String>

    /// - Parameter before: cgroups that are no leftovers.
    package init(of marker: Marker, before: Set<String> = Set(TestCgroups.jobs)) {
        self.marker = marker
        self.before = before
    }

    private var cgroups: [String] { TestCgroups.jobs.filter { !before.contains($0) } }
    private var isEmpty: Bool { cgroups.isEmpty && marker.survivors.isEmpty }

    /// Who is left, and who keeps each cgroup.
    package var description: String {
        "processes \(marker.survivors), cgroups \(cgroups.map(Self.describe))"
    }

    /// Waits a moment for what dies asynchronously. What is left then is told, and ended, so that it
    /// fails the test that left it and no other.
    package func expectNone(within limit: Duration = .seconds(10)) throws {
        do { try eventually(within: limit, "left: \(self)") { isEmpty } } catch {
            end()
            throw error
        }
    }

    private func end() {
        // What does not go now is told by later tests from their own by `before`.
        try? eventually(within: .seconds(2), "") {
            for survivor in marker.survivors { kill(survivor.pid) }
            // The inner ones first.
            for path in cgroups.reversed() { Self.removeUnlessOwned(path) }
            return isEmpty
        }
    }

    private func kill(_ pid: ProcessID) {
        // The pid may have been taken by somebody else before it was held.
        guard let process = try? ProcessDescriptor(pid: pid), marker.isAlive(pid) else { return }
        try? process.send(.kill)
    }

    /// One that is locked may be somebody else's live job.
    private static func removeUnlessOwned(_ path: String) {
        guard let directory = try? Descriptor(opening: path, O_RDONLY | O_DIRECTORY),
            (try? directory.tryLock()) == true
        else { return }
        try? Descriptor(opening: "\(path)/cgroup.kill", O_WRONLY).write("1", path: path)
        rmdir(path)
    }

    private static func describe(_ path: String) -> String {
        func name(_ pid: ProcessID) -> String {
            "\(pid) \(ProcessTable.commandName(pid) ?? "?") \(ProcessTable.state(pid) ?? "?")"
        }
        func words(_ file: String) -> [Substring] {
            ((try? readTextFile("\(path)/\(file)")) ?? "").split(whereSeparator: \.isWhitespace)
        }
        let members = words("cgroup.procs").compactMap { ProcessID($0) }.map(name)
        let holders = Marker.allProcesses.filter { holds(path, $0) }.map(name)
        return "\(path) (\(words("cgroup.events").joined(separator: " ")); members \(members); held by \(holders))"
    }

    /// Whether the process has the directory open, and with it perhaps the lock of its job.
    private static func holds(_ path: String, _ pid: ProcessID) -> Bool {
        let descriptors = "/proc/\(pid)/fd"
        return Marker.entries(of: descriptors).contains { readLink("\(descriptors)/\($0)") == path }
    }
}
