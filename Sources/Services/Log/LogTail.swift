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
    /// - Parameters:
    ///   - count: `nil` for all.
    ///   - start: where to begin at the earliest; `nil`: at the beginning of all that is kept.
    package mutating func last(_ count: Int?, from start: LogTimes.Place? = nil) -> [UInt8] {
        open()
        var bytes = (try? file?.descriptor.readBytes(path: path)) ?? []
        offset = bytes.count
        if let start, start.offset == .max { return [] }
        var isAll = Self.cut(&bytes, file, start)
        var number = 1
        while !isAll, count.map({ Self.lineCount(bytes) < $0 }) ?? true {
            let older = "\(path).\(number)"
            let opened = Self.open(older)
            guard var earlier = try? opened?.descriptor.readBytes(path: older) else { break }
            isAll = Self.cut(&earlier, opened, start)
            bytes = earlier + bytes
            number += 1
        }
        guard let count else { return bytes }
        return Array(Self.lines(bytes).suffix(count).joined())
    }

    /// The place in the present file; `nil`: that is shorter, so that it is another by now.
    package func place(at offset: UInt64) -> LogTimes.Place? {
        guard let file = Self.open(path), let length = file.descriptor.length, offset <= length else { return nil }
        return file.descriptor.inode.map { LogTimes.Place(inode: $0, offset: offset) }
    }

    /// Leaves out what is before a place, if that is in this file.
    ///
    /// - Returns: whether it is.
    private static func cut(_ bytes: inout [UInt8], _ file: SharedDescriptor?, _ start: LogTimes.Place?) -> Bool {
        guard let start, file?.descriptor.inode == start.inode else { return false }
        // The place may be in the middle of a line, which belongs to it as a whole.
        let offset = Int(min(start.offset, UInt64(bytes.count)))
        let line = bytes[..<offset].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        bytes.removeFirst(line)
        return true
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
