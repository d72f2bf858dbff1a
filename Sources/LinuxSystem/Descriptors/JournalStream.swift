internal import CLinux
internal import Glibc
internal import SystemPackage

/// A connection by which systemd's journal takes lines of text, as it takes those of services.
package enum JournalStream {
    /// Where the journal listens.
    package static let socket = "/run/systemd/journal/stdout"
    private static let leastBuffer: CInt = 8 << 20

    /// - Parameters:
    ///   - identifier: what the journal calls the lines by, `SYSLOG_IDENTIFIER`.
    ///   - waits: whether writers wait for a journal that does not read; otherwise their writes fail.
    package static func open(identifier: String, waits: Bool) throws(SystemError) -> Descriptor {
        let stream = try Descriptor(connectingTo: socket)
        // As much as systemd gives its services.
        var size = leastBuffer
        if setsockopt(stream.rawValue, SOL_SOCKET, SO_SNDBUFFORCE, &size, socklen_t(MemoryLayout<CInt>.size)) != 0 {
            setsockopt(stream.rawValue, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<CInt>.size))
        }
        // Identifier, unit, priority (6 is info), whether `<N>` begins a line of another priority, and three times whether
        // the lines go anywhere else.
        try stream.write("\(identifier)\n\n6\n1\n0\n0\n0\n", path: socket)
        if waits { try stream.setBlocking() }
        return stream
    }

    /// What a program finds in `JOURNAL_STREAM` whose output is this stream.
    package static func variable(_ stream: borrowing Descriptor) -> String? {
        stream.facts.map { "\($0.st_dev):\($0.st_ino)" }
    }
}
