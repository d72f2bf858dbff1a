internal import Glibc
internal import LinuxSystem

/// What a process has open.
struct OpenFiles {
    /// Where it listens.
    private(set) var ports: [ListeningPort] = []
    /// The paths of regular files that it can write to.
    private(set) var written: [String] = []

    init(of pid: ProcessID) {
        var sockets: Set<Substring> = []
        for descriptor in (try? listing("/proc/\(pid)/fd")) ?? [] {
            guard let target = readLink("/proc/\(pid)/fd/\(descriptor)") else { continue }
            if target.hasPrefix("socket:[") {
                sockets.insert(target.dropFirst("socket:[".count).dropLast())
            } else if target.hasPrefix("/"), !target.hasPrefix("/dev/"), !target.hasSuffix(" (deleted)"),
                Self.canWrite(pid, descriptor),
                Self.isRegularFile("/proc/\(pid)/fd/\(descriptor)")
            {
                written.append(target)
            }
        }
        if !sockets.isEmpty { ports = ListeningPort.all(seenBy: pid).filter { sockets.contains($0.inode) } }
        written = Array(Set(written)).sorted()
    }

    /// Nothing is opened for this: to open a FIFO or a device can mean something.
    private static func isRegularFile(_ link: String) -> Bool {
        var facts = stat()
        return stat(link, &facts) == 0 && facts.st_mode & S_IFMT == S_IFREG
    }

    private static func canWrite(_ pid: ProcessID, _ descriptor: String) -> Bool {
        let lines = (try? readTextFile("/proc/\(pid)/fdinfo/\(descriptor)"))?.split(separator: "\n") ?? []
        let flags = lines.first { $0.hasPrefix("flags:") }?.split(separator: "\t").last
        return flags.flatMap { CInt($0, radix: 8) }.map { $0 & O_ACCMODE != O_RDONLY } ?? false
    }
}

/// A TCP port at which somebody listens.
struct ListeningPort: Hashable, CustomStringConvertible {
    var address: String
    var port: UInt16
    fileprivate var inode: Substring

    var description: String { "\(address):\(port)" }

    static func == (a: ListeningPort, b: ListeningPort) -> Bool { a.address == b.address && a.port == b.port }
    func hash(into hasher: inout Hasher) { hasher.combine(port) }

    /// Those in the network namespace of a process.
    fileprivate static func all(seenBy pid: ProcessID) -> [ListeningPort] {
        ["tcp", "tcp6"].flatMap { table in
            parse((try? readTextFile("/proc/\(pid)/net/\(table)")) ?? "")
        }
    }

    /// Reads `/proc/net/tcp` or `/proc/net/tcp6` of proc(5).
    static func parse(_ text: String) -> [ListeningPort] {
        let listening = "0A"
        return text.split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count > 9, fields[3] == listening else { return nil }
            let parts = fields[1].split(separator: ":")
            guard parts.count == 2, let port = UInt16(parts[1], radix: 16) else { return nil }
            return ListeningPort(address: address(parts[0]), port: port, inode: fields[9])
        }
    }

    /// - Parameter digits: words of 32 bits in the order of this machine's bytes.
    private static func address(_ digits: Substring) -> String {
        let bytes = stride(from: 0, to: digits.utf8.count, by: 8).flatMap { offset -> [UInt8] in
            let word = UInt32(digits.dropFirst(offset).prefix(8), radix: 16) ?? 0
            return withUnsafeBytes(of: word) { Array($0) }
        }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let isLong = bytes.count == 16
        _ = bytes.withUnsafeBytes {
            inet_ntop(isLong ? AF_INET6 : AF_INET, $0.baseAddress!, &text, socklen_t(text.count))
        }
        let address = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return isLong ? "[\(address)]" : address
    }

    /// Whether this very socket is still there: somebody else may have bound a new one to the same port.
    var isTaken: Bool { ListeningPort.all(seenBy: ThisProcess.id).contains { $0 == self && $0.inode == inode } }
}
