internal import Glibc
package import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// Notes of how long a log was at which time, by which `cgrun service logs --since` finds where to begin.
///
/// A service's lines bear no time, and the kernel moves them: so there is a note, once a second at most, of where what is
/// moved next begins.
package struct LogTimes: Sendable {
    private let path: String
    /// The last note that this process has made.
    private var last: (time: Timestamp, inode: UInt)?

    /// Where output begins that was written at a time or later.
    package struct Place: Sendable, Equatable {
        /// The log's file, whose name may have changed since.
        package var inode: UInt
        package var offset: UInt64
    }

    private struct Note {
        var time: Int64
        var inode: UInt64
        var offset: UInt64
    }

    /// Output that comes within this time has one note.
    private static let interval = Duration.seconds(1)
    /// In bytes. The older half of more notes is forgotten, or where one was not written as a whole. Those of two days
    /// have room in any case.
    private static let longest = 8 << 20
    private static let size = MemoryLayout<Note>.size

    package init(_ path: String) { self.path = path }

    /// Notes that output is added to a file, if it is time for a note.
    ///
    /// What cannot be noted is not: then more is shown than was asked for.
    mutating func note(_ inode: UInt, _ offset: UInt64, at now: Timestamp = .now) {
        // The clock may have been put back.
        if let last, last.inode == inode, now.sinceEpoch >= last.time.sinceEpoch,
            now.sinceEpoch - last.time.sinceEpoch < Self.interval
        {
            return
        }
        last = (now, inode)
        guard let file = try? Descriptor(opening: path, O_WRONLY | O_CREAT | O_APPEND, mode: 0o600) else { return }
        // A note that was not written as a whole would put all later ones out of place.
        guard let length = file.length, length % UInt64(Self.size) == 0, length < UInt64(Self.longest) else {
            return forgetHalf()
        }
        let note = Note(time: now.sinceEpoch.nanoseconds, inode: UInt64(inode), offset: offset)
        try? file.write(withUnsafeBytes(of: note) { Array($0) }, path: path)
    }

    private func forgetHalf() {
        let notes = (try? Descriptor(opening: path, O_RDONLY).readBytes(path: path)) ?? []
        let kept = notes.count / Self.size / 2 * Self.size
        let whole = notes.count / Self.size * Self.size
        let new = path + ".new"
        guard
            let file = try? Descriptor(opening: new, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600),
            (try? file.write(Array(notes[(whole - kept)..<whole]), path: new)) != nil, rename(new, path) == 0
        else {
            unlink(new)
            return
        }
    }

    /// - Returns: `nil` for all that is kept: nothing is known of a time before, or its file is gone.
    package func place(since time: Timestamp) -> Place? {
        let bytes = (try? Descriptor(opening: path, O_RDONLY).readBytes(path: path)) ?? []
        let notes = (0..<bytes.count / Self.size).map { index in
            bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: index * Self.size, as: Note.self) }
        }
        let moment = time.sinceEpoch.nanoseconds
        guard let before = notes.lastIndex(where: { $0.time <= moment }) else { return nil }
        // A note stands for the output of its second. Where the time is later than that, the next note is the first.
        let isOlder = notes[before].time + Self.interval.nanoseconds < moment
        let index = isOlder ? before + 1 : before
        guard index < notes.count else { return Place(inode: 0, offset: .max) }
        return Self.place(of: notes[index...])
    }

    /// - Parameter notes: the one to begin at, and all later ones.
    /// - Returns: `nil` if the file is gone, of which another has the number by now.
    private static func place(of notes: ArraySlice<Note>) -> Place? {
        guard let first = notes.first else { return nil }
        var place = Place(inode: UInt(first.inode), offset: first.offset)
        var (end, wasLeft) = (first.offset, false)
        for note in notes.dropFirst() {
            guard note.inode == first.inode else {
                wasLeft = true
                continue
            }
            if wasLeft { return nil }
            // Somebody has emptied the file.
            if note.offset < end { place.offset = 0 }
            end = note.offset
        }
        return place
    }
}
