internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import SystemPackage

/// Reads a service's log, as far as it is kept, and what is added to it.
package struct LogTail: ~Copyable {
    private let path: String
    private var file: SharedDescriptor?
    private var offset: Int = 0

    package init(_ path: String) { self.path = path }

    /// The last lines; what was set aside counts as well.
    ///
    /// - Parameter count: `nil` for all.
    package mutating func last(_ count: Int?) -> [UInt8] {
        open()
        var bytes = (try? file?.descriptor.readBytes(path: path)) ?? []
        offset = bytes.count
        var number = 1
        while count.map({ Self.lineCount(bytes) < $0 }) ?? true {
            let older = "\(path).\(number)"
            guard let earlier = try? Self.open(older)?.descriptor.readBytes(path: older) else { break }
            bytes = earlier + bytes
            number += 1
        }
        guard let count else { return bytes }
        return Array(Self.lines(bytes).suffix(count).joined())
    }

    /// Passes over all that is there.
    package mutating func skip() {
        open()
        offset = file.map { Int($0.descriptor.seekToEnd()) } ?? 0
    }

    private mutating func open() { file = Self.open(path) }

    /// - Returns: `nil` for what is no file: a device may never end.
    private static func open(_ path: String) -> SharedDescriptor? {
        guard let opened = try? Descriptor(opening: path, O_RDONLY | O_NONBLOCK), opened.isRegularFile else {
            return nil
        }
        return SharedDescriptor(opened)
    }

    /// What was added since.
    package mutating func more() -> [UInt8] {
        var result = rest()
        // The file may have been set aside; then another one goes on.
        var facts = stat()
        if stat(path, &facts) == 0, file?.descriptor.inode != UInt(facts.st_ino) {
            open()
            offset = 0
            result += rest()
        }
        return result
    }

    private mutating func rest() -> [UInt8] {
        guard let file else { return [] }
        // Somebody may have emptied it.
        if let length = file.descriptor.length, length < UInt64(offset) { offset = 0 }
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let size = pread(file.descriptor.rawValue, &buffer, buffer.count, off_t(offset))
            guard size > 0 else { return result }
            offset += size
            result += buffer[..<size]
        }
    }

    private static func lineCount(_ bytes: [UInt8]) -> Int { bytes.count { $0 == UInt8(ascii: "\n") } }

    /// The lines with their ends.
    package static func lines(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        var lines: [ArraySlice<UInt8>] = []
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            lines.append(bytes[start...end])
            start = end + 1
        }
        if start < bytes.endIndex { lines.append(bytes[start...]) }
        return lines
    }
}
