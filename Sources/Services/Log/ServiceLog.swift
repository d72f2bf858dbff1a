internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import SystemPackage

/// Moves a service's output from its FIFO to its log.
///
/// The service has the FIFO open for both ways, so that no loss of a keeper is the loss of its reader. The kernel moves
/// the bytes, so that a keeper that is killed has none of them. A log that cannot be written costs output, and never
/// holds the service up.
struct ServiceLog: ~Copyable {
    private let pipe: Descriptor
    /// `nil`: the output does not come this way, and what the keeper says goes to the journal.
    private let place: LogFile?
    private let identifier: String
    private let rules: LogRules
    private var times: LogTimes
    private var file: SharedDescriptor?
    /// How long the file is.
    private var length: UInt64 = 0
    /// From which length on the file is set aside.
    private var longest: UInt64
    /// How many bytes were thrown away since the last that were kept.
    private var dropped = 0
    /// Where the output of this run of the command begins in the file, or in an earlier one.
    private(set) var runStart: UInt64
    /// The text that is looked for, and from where on.
    private var sought: (text: [UInt8], from: UInt64)?

    /// How much longer than it is to be a file may get for a line that is not split.
    private static let longestLine: UInt64 = 64 << 10
    /// The most that is moved at a time.
    private static let portion = 1 << 20
    /// How long output is moved before others have their turn: a service may write as fast as this process reads.
    private static let turn = Duration.milliseconds(20)
    /// How long the last output of a service may take.
    private static let lastTurn = Duration.seconds(5)

    /// - Parameters:
    ///   - fifo: the FIFO, opened for both ways.
    ///   - place: the log's file; `nil` for the journal.
    ///   - identifier: what the journal calls the service's lines by.
    ///   - runStart: where the output of the present run begins.
    init(
        _ fifo: consuming Descriptor, to place: LogFile?, _ rules: LogRules, _ times: LogTimes, identifier: String,
        runStart: UInt64
    ) {
        self.runStart = runStart
        pipe = fifo
        self.times = times
        self.place = place
        self.identifier = identifier
        self.rules = rules
        longest = rules.longest
        reopen()
    }

    var descriptor: CInt { pipe.rawValue }

    /// - Returns: the FIFO, made if it is not there. It never blocks this process, and never ends.
    static func openOutput(_ path: String, owner: UInt32?) throws(SystemError) -> Descriptor {
        if mkfifo(path, 0o600) != 0, errno != EEXIST {
            throw SystemError("mkfifo", path: path, errno: Errno(rawValue: errno))
        }
        let opened = try Descriptor(opening: path, O_RDWR | O_NONBLOCK | O_NOFOLLOW)
        // A command that runs as another user may open /dev/stdout.
        if let owner { fchown(opened.rawValue, owner, gid_t.max) }
        clinux_enlarge_pipe(opened.rawValue, CInt(portion))
        return opened
    }

    // MARK: Moving

    /// Moves what is there, as far as the time allows.
    mutating func drain() { drain(until: .now + Self.turn) }

    /// Moves what is there, to the end, of a service that does not write any more.
    mutating func drainAll() { drain(until: .now + Self.lastTurn) }

    private mutating func drain(until deadline: BootTime) {
        while BootTime.now < deadline {
            followName()
            noteDropped()
            // Byte by byte to the end of the line, where the file is set aside.
            let room = longest > length ? Int(clamping: longest - length) : 1
            let moved = file.map { file in
                clinux_move(pipe.rawValue, file.descriptor.rawValue, min(room, Self.portion))
            }
            switch moved {
            case .some(let count) where count > 0: grow(by: count)
            case .some(-Int(EAGAIN)), .some(0): return
            case .some(-Int(EINVAL)):
                // This file system has no splice(2).
                guard copyPortion() else { return }
            default:
                guard dropPortion() else { return }
            }
        }
    }

    /// Goes on after output that was added to the file.
    private mutating func grow(by count: Int) {
        if let inode = file?.descriptor.inode { times.note(inode, length) }
        length += UInt64(count)
        search()
        setAsideIfLong()
    }

    private mutating func copyPortion() -> Bool {
        guard let bytes = readPortion() else { return false }
        if let file, (try? file.descriptor.write(bytes, path: "the log")) != nil {
            grow(by: bytes.count)
        } else {
            dropped += bytes.count
        }
        return true
    }

    private mutating func dropPortion() -> Bool {
        guard let bytes = readPortion() else { return false }
        dropped += bytes.count
        return true
    }

    private func readPortion() -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = clinux_read(pipe.rawValue, &bytes, bytes.count)
        return count > 0 ? Array(bytes[..<count]) : nil
    }

    private mutating func noteDropped() {
        guard dropped > 0, write("\(dropped) bytes of output are missing here: the log could not be written") else {
            return
        }
        dropped = 0
    }

    /// Writes a line of the keeper's own.
    mutating func note(_ text: String) {
        guard place != nil else {
            // What the journal does not take is told by the status, too.
            try? JournalStream.open(identifier: identifier, waits: false).write(
                "cgrun: \(text)\n", path: JournalStream.socket)
            return
        }
        followName()
        _ = write(text)
        setAsideIfLong()
    }

    private mutating func write(_ text: String) -> Bool {
        guard let file else { return false }
        let line = (endsWithNewline ? "" : "\n") + "cgrun: \(text)\n"
        guard (try? file.descriptor.write(line, path: "the log")) != nil else { return false }
        if let inode = file.descriptor.inode { times.note(inode, length) }
        length += UInt64(line.utf8.count)
        return true
    }

    // MARK: Files

    /// Opens the file anew if somebody has moved, removed or emptied it.
    private mutating func followName() {
        guard let file, place?.isNamed(file) == true else { return reopen() }
        if let now = file.descriptor.length, now < length {
            length = file.descriptor.seekToEnd()
            startAnew()
        }
    }

    /// Takes note that the file begins with what comes next.
    private mutating func startAnew() {
        runStart = 0
        sought?.from = 0
    }

    private mutating func reopen() {
        file = place?.open()
        length = file?.descriptor.seekToEnd() ?? 0
        if let from = sought?.from { sought?.from = min(from, length) }
    }

    private var endsWithNewline: Bool {
        guard length > 0, let file else { return true }
        var byte: UInt8 = 0
        return pread(file.descriptor.rawValue, &byte, 1, off_t(length - 1)) != 1 || byte == UInt8(ascii: "\n")
    }

    private mutating func setAsideIfLong() {
        guard length >= longest, endsWithNewline || length >= longest + Self.longestLine else { return }
        guard place?.setAside(keeping: rules.kept) == true else {
            // Tried again when the file has grown as much once more.
            longest = length + rules.longest
            return
        }
        longest = rules.longest
        startAnew()
        reopen()
    }

    // MARK: Searching

    /// Notes that what comes now is the output of another run of the command.
    mutating func beginRun() { runStart = length }

    /// Looks for a text in the output of this run.
    mutating func seekInRun(_ text: String) {
        sought = (Array(text.utf8), min(runStart, length))
        hasFound = false
        search()
    }

    /// Whether the text was there.
    private(set) var hasFound = false

    private mutating func search() {
        guard let file else { return }
        while !hasFound, let (text, from) = sought, from + UInt64(text.count) <= length {
            var bytes = [UInt8](repeating: 0, count: Int(min(length - from, UInt64(Self.portion))))
            let count = pread(file.descriptor.rawValue, &bytes, bytes.count, off_t(from))
            guard count >= text.count else { return }
            hasFound = bytes[..<count].contains(text)
            // The text may begin in this part and end in the next.
            sought?.from = from + UInt64(count - text.count + 1)
        }
        if hasFound { sought = nil }
    }
}

extension ArraySlice<UInt8> {
    fileprivate func contains(_ part: [UInt8]) -> Bool {
        withUnsafeBytes { whole in
            part.withUnsafeBytes { clinux_contains(whole.baseAddress!, whole.count, $0.baseAddress!, $0.count) }
        }
    }
}
