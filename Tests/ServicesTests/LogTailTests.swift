import Glibc
import Testing

@testable import Services

@Suite struct LogTailTests {
    private let path = "/tmp/cgrun-log-\(getpid())-\(UInt32.random(in: 0 ... .max))"

    private func write(_ text: String, _ suffix: String = "", mode: String = "w") {
        let file = fopen(path + suffix, mode)
        fputs(text, file)
        fclose(file)
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test func lastLinesAndWhatIsAdded() {
        defer { for suffix in ["", ".1", ".2"] { unlink(path + suffix) } }
        write("a\nb\n", ".2")
        write("c\n", ".1")
        write("d\ne")
        var tail = LogTail(path)
        #expect(text(tail.last(nil)) == "a\nb\nc\nd\ne")
        #expect(text(tail.last(0)) == "")
        #expect(text(tail.last(2)) == "d\ne")
        #expect(text(tail.last(4)) == "b\nc\nd\ne")
        #expect(text(tail.more()) == "")
        write("f\n", mode: "a")
        #expect(text(tail.more()) == "f\n")
        // Set aside, with something added just before.
        write("g\n", mode: "a")
        rename(path, path + ".1")
        write("h\n")
        #expect(text(tail.more()) == "g\nh\n")
    }

    /// Whatever the file is called by now, its number in the file system tells it.
    @Test func fromAPlaceOn() {
        defer { for suffix in ["", ".1", ".2"] { unlink(path + suffix) } }
        write("a\nb\n", ".2")
        write("cc\ndd\n", ".1")
        write("ee\n")
        func inode(_ suffix: String) -> UInt {
            var facts = stat()
            stat(path + suffix, &facts)
            return UInt(facts.st_ino)
        }
        var tail = LogTail(path)
        #expect(text(tail.last(nil, from: .init(inode: inode(".1"), offset: 3))) == "dd\nee\n")
        #expect(text(tail.last(nil, from: .init(inode: inode(".1"), offset: 4))) == "dd\nee\n", "a line is whole")
        #expect(text(tail.last(1, from: .init(inode: inode(".1"), offset: 0))) == "ee\n")
        #expect(text(tail.last(5, from: .init(inode: inode(""), offset: 99))) == "")
        #expect(text(tail.last(nil, from: .init(inode: 1, offset: 0))) == "a\nb\ncc\ndd\nee\n", "it was removed")
        #expect(text(tail.last(nil, from: .init(inode: 0, offset: .max))) == "")
        #expect(text(tail.more()) == "")
    }

    @Test func noFile() {
        var tail = LogTail(path)
        #expect(tail.last(5).isEmpty && tail.more().isEmpty)
    }
}
