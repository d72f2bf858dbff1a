internal import CLinux
internal import Glibc

extension Descriptor {
    /// Makes reads and writes return at once. This changes the open file for all processes that share it.
    package func setNonblocking() throws(SystemError) {
        try checkErrno(fcntl(rawValue, F_SETFL, O_NONBLOCK), "fcntl(F_SETFL)")
    }

    /// Makes reads and writes wait. This changes the open file for all processes that share it.
    package func setBlocking() throws(SystemError) { try checkErrno(fcntl(rawValue, F_SETFL, 0), "fcntl(F_SETFL)") }

    package enum ReadResult: Sendable {
        case bytes([UInt8])
        case nothingYet
        case end
    }

    /// Reads once, at most `size` bytes. An error is the end as well: nothing more will come.
    package func readSome(_ size: Int) -> ReadResult {
        var count = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
            count = clinux_read(rawValue, buffer.baseAddress!, size)
            filled = max(0, count)
        }
        if count > 0 { return .bytes(bytes) }
        return count == -Int(EAGAIN) ? .nothingYet : .end
    }

    /// Reads from a pipe, or whatever it is, up to its end.
    package func readToEnd(path: @autoclosure () -> String) throws(SystemError) -> [UInt8] {
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let size = clinux_read(rawValue, &buffer, buffer.count)
            if size == -Int(EAGAIN) {
                var poller = Poller()
                poller.add(rawValue)
                _ = poller.wait()
                continue
            }
            if try check(size, "read", path: path()) == 0 { return result }
            result += buffer[..<size]
        }
    }

    /// Writes once.
    ///
    /// - Returns: how many bytes were taken; 0 when the reader has no room at the moment.
    /// - Throws: `EPIPE` when nobody reads. The calling thread must have SIGPIPE blocked.
    package func writeSome(_ bytes: ArraySlice<UInt8>) throws(SystemError) -> Int {
        let count = bytes.withUnsafeBytes { buffer in
            buffer.baseAddress.map { clinux_write(rawValue, $0, buffer.count) } ?? 0
        }
        if count == -Int(EAGAIN) { return 0 }
        return try check(count, "write")
    }
}
