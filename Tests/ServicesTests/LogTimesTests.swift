import Glibc
import LinuxSystem
import Testing

@testable import Services

@Suite struct LogTimesTests {
    private let path = "/tmp/cgrun-times-\(getpid())-\(UInt32.random(in: 0 ... .max))"

    private func moment(_ seconds: Double) -> Timestamp { Timestamp(sinceEpoch: .seconds(seconds)) }

    @Test func whereToBegin() {
        defer { unlink(path) }
        var times = LogTimes(path)
        #expect(times.place(since: moment(50)) == nil)
        times.note(7, 0, at: moment(100))
        times.note(7, 10, at: moment(100.5))
        times.note(7, 20, at: moment(102))
        times.note(8, 0, at: moment(500))
        #expect(times.place(since: moment(99)) == nil, "nothing is known of a time before")
        #expect(times.place(since: moment(100.9)) == .init(inode: 7, offset: 0), "it may be newer, and is shown")
        #expect(times.place(since: moment(102)) == .init(inode: 7, offset: 20))
        // What is there of that note is older by far.
        #expect(times.place(since: moment(300)) == .init(inode: 8, offset: 0))
        #expect(times.place(since: moment(600))?.offset == .max)
        // The clock was put back.
        times.note(8, 50, at: moment(400))
        #expect(times.place(since: moment(450))?.offset == .max)
    }

    /// The file system gives the number of a file that is gone to another, and somebody may empty a file.
    @Test func filesThatAreGone() {
        defer { unlink(path) }
        var times = LogTimes(path)
        for (inode, offset, time) in [(7, 100, 10), (8, 0, 20), (9, 0, 30), (7, 0, 40)] as [(UInt, UInt64, Double)] {
            times.note(inode, offset, at: moment(time))
        }
        #expect(times.place(since: moment(10)) == nil, "all that is kept is newer")
        #expect(times.place(since: moment(20)) == .init(inode: 8, offset: 0))
        #expect(times.place(since: moment(40)) == .init(inode: 7, offset: 0))
        times.note(7, 50, at: moment(50))
        times.note(7, 10, at: moment(60))
        #expect(times.place(since: moment(50)) == .init(inode: 7, offset: 0))
        // A file that is set aside at once has its note all the same.
        times.note(3, 0, at: moment(60.1))
        #expect(times.place(since: moment(60.05))?.inode == 7 && times.place(since: moment(61.2))?.offset == .max)
    }

    /// A note of which only a part was written puts no other out of place.
    @Test func aBrokenFile() throws {
        defer { unlink(path) }
        var times = LogTimes(path)
        for second in 1...4 { times.note(7, UInt64(second), at: moment(Double(second * 10))) }
        try Descriptor(opening: path, O_WRONLY | O_APPEND).write([1, 2, 3], path: path)
        times.note(7, 5, at: moment(50))
        times.note(7, 6, at: moment(60))
        #expect(times.place(since: moment(60)) == .init(inode: 7, offset: 6))
        #expect(times.place(since: moment(15)) == nil, "the older half is forgotten")
    }
}
