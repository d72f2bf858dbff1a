internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// Processes at one moment, and who started whom.
struct ProcessTree {
    private(set) var processes: [ProcessID: Entry] = [:]

    struct Entry: Equatable {
        var pid: ProcessID
        var parent: ProcessID
        /// In clock ticks since boot: with the pid, it tells one process from all others.
        var start: UInt64
    }

    init(_ pids: [ProcessID]) {
        for pid in pids {
            // A process that has ended meanwhile is none.
            guard let parent = ProcessTable.field(1, of: "\(pid)").flatMap({ ProcessID($0) }),
                let start = ProcessTable.startTime(pid), Self.isAlive(pid)
            else { continue }
            processes[pid] = Entry(pid: pid, parent: parent, start: start)
        }
    }

    /// A process whose first thread has ended shows as a zombie, and lives for as long as it has other threads.
    private static func isAlive(_ pid: ProcessID) -> Bool {
        guard let state = ProcessTable.state(pid) else { return false }
        let threads = ProcessTable.field(17, of: "\(pid)").flatMap { Int($0) } ?? 0
        return state != "Z" || threads > 1
    }

    var pids: [ProcessID] { processes.keys.sorted() }

    func contains(_ entry: Entry) -> Bool { processes[entry.pid]?.start == entry.start }

    func children(of pid: ProcessID) -> [ProcessID] { pids.filter { processes[$0]?.parent == pid } }

    /// All that descend from a process, as far as their ancestors are alive.
    func descendants(of pid: ProcessID) -> Set<ProcessID> {
        var found: Set<ProcessID> = []
        var next = children(of: pid)
        while let child = next.popLast() {
            if found.insert(child).inserted { next += children(of: child) }
        }
        return found
    }

    /// Those that are not in another tree.
    func subtracting(_ others: ProcessTree) -> [Entry] {
        pids.compactMap { processes[$0] }.filter { !others.contains($0) }
    }

    /// How many have ended and wait for one of these to reap them.
    var zombieCount: Int {
        ((try? listing("/proc")) ?? []).filter { name in
            guard name.utf8.allSatisfy({ (0x30...0x39).contains($0) }), ProcessTable.field(0, of: name) == "Z",
                let parent = ProcessTable.field(1, of: name).flatMap({ ProcessID($0) })
            else { return false }
            return processes[parent] != nil
        }.count
    }

    var described: [LeftProcess] { described(pids.compactMap { processes[$0] }) }

    func described(_ entries: [Entry]) -> [LeftProcess] {
        entries.compactMap { LeftProcess($0, isOrphan: processes[$0.parent] == nil) }
    }
}

extension LeftProcess {
    private static let mostFiles = 5

    /// - Returns: `nil` for a process that has ended meanwhile.
    fileprivate init?(_ entry: ProcessTree.Entry, isOrphan: Bool) {
        let words = ProcessTable.commandLine(entry.pid)
        let command = words.isEmpty ? "its first thread has ended" : words.joined(separator: " ")
        let descriptors = OpenFiles(of: entry.pid)
        guard let name = ProcessTable.commandName(entry.pid), ProcessTable.startTime(entry.pid) == entry.start else {
            return nil
        }
        self.init(
            pid: entry.pid, name: name, command: command,
            parentPID: entry.parent, parentName: ProcessTable.commandName(entry.parent) ?? "?", isOrphan: isOrphan,
            ports: descriptors.ports.map(\.description), files: Array(descriptors.written.prefix(Self.mostFiles)))
    }

    /// What a list has of it.
    var line: String {
        var text = "\(pid) \(name), " + (isOrphan ? "orphan" : "parent \(parentPID) (\(parentName))")
        if !ports.isEmpty { text += ", listens at \(ports.joined(separator: " "))" }
        if !files.isEmpty { text += ", writes \(files.joined(separator: " "))" }
        return text + ": \(command)"
    }
}
