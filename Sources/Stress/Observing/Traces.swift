internal import Glibc
internal import LinuxSystem

/// What processes leave behind besides themselves: temporary files and shared memory.
struct Traces {
    /// The value of `TMPDIR` for what is observed.
    let directory: String
    private let earlier: Earlier
    private var shared: Set<String> = []
    private var creators: Set<Substring> = []

    init(directory: String, earlier: Earlier) {
        self.directory = directory
        self.earlier = earlier
    }

    /// Shared memory that was there before the suite, and is not the command's.
    struct Earlier {
        fileprivate let files: Set<String>
        fileprivate let segments: Set<Substring>

        init() {
            files = Set(Traces.files(in: "/dev/shm").compactMap(Traces.identity))
            segments = Set(Segment.all.map(\.id))
        }
    }

    /// Notes what the processes have of shared memory now.
    mutating func look(at processes: ProcessTree) {
        for pid in processes.pids {
            creators.insert("\(pid)")
            for line in ((try? readTextFile("/proc/\(pid)/maps")) ?? "").split(separator: "\n") {
                if let start = line.firstIndex(of: "/") { note(line[start...]) }
            }
            for descriptor in (try? listing("/proc/\(pid)/fd")) ?? [] {
                if let target = readLink("/proc/\(pid)/fd/\(descriptor)") { note(target[...]) }
            }
        }
    }

    private mutating func note(_ path: Substring) {
        if path.hasPrefix("/dev/shm/") { shared.insert(String(path)) }
    }

    /// What is there now, and belongs to nobody any more.
    var left: [String] {
        let files = ((try? listing(directory)) ?? []).map { "temporary file \($0)" }
        let memory = shared.filter { Self.identity($0).map { !earlier.files.contains($0) } ?? false }
        let segments = Segment.all.filter { creators.contains($0.creator) && !earlier.segments.contains($0.id) }
        return (files + memory.map { "shared memory \($0)" } + segments.map { "shared memory segment \($0.id)" })
            .sorted()
    }

    // MARK: Shared memory

    /// A segment of shmget(2).
    private struct Segment {
        var id: Substring
        var creator: Substring

        static var all: [Segment] {
            ((try? readTextFile("/proc/sysvipc/shm")) ?? "").split(separator: "\n").dropFirst().compactMap { line in
                let fields = line.split(separator: " ")
                return fields.count > 4 ? Segment(id: fields[1], creator: fields[4]) : nil
            }
        }
    }

    private static func files(in directory: String) -> [String] {
        ((try? listing(directory)) ?? []).flatMap { name in
            let path = "\(directory)/\(name)"
            var facts = stat()
            guard lstat(path, &facts) == 0 else { return [String]() }
            return facts.st_mode & S_IFMT == S_IFDIR ? files(in: path) : [path]
        }
    }

    /// - Returns: `nil` where there is no such file.
    private static func identity(_ path: String) -> String? {
        var facts = stat()
        return lstat(path, &facts) == 0 ? "\(facts.st_ino) \(path)" : nil
    }
}
