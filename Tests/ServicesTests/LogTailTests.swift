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

    @Test func noFile() {
        var tail = LogTail(path)
        #expect(tail.last(5).isEmpty && tail.more().isEmpty)
    }
}
