import SandboxValues
import SystemdUnits
import Testing

@Suite("Quoting")
struct QuotingTests {
    private static let special =
        Array(#""'\%$;#=@:-+!*?[]{}~ "#.utf8) + [0x09, 0x0A, 0x0D, 0x01, 0x1B, 0x7F, 0x80, 0xC3, 0xA9, 0xFF]

    private static func randomBytes(_ generator: inout Seeded) -> [UInt8] {
        (0..<Int.random(in: 0...24, using: &generator)).map { _ in
            Bool.random(using: &generator)
                ? special.randomElement(using: &generator)! : UInt8.random(in: 1...255, using: &generator)
        }
    }

    @Test("every vector of random bytes reads back as it was")
    func roundTrip() throws {
        var generator = Seeded(state: 5)
        for _ in 0..<5_000 {
            let vector = (0..<Int.random(in: 0...5, using: &generator)).map { _ in Self.randomBytes(&generator) }
            let text = try Command(path: "/bin/x", arguments: vector.map { ByteString($0)! }).text()
            #expect(try Unquoter.words(text) == [Array(":/bin/x".utf8)] + vector)
        }
    }

    @Test("what stands in the file is text without control characters")
    func fileIsText() {
        let word = Quoting.word((1...255).map { UInt8($0) })
        #expect(word.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F })
    }

    @Test(
        "single words",
        arguments: [
            ("", "\"\""), ("a b", #""a b""#), ("\"", "\"\\\"\""), (#"\"#, #""\\""#), ("%n", #""%%n""#),
            ("$HOME", #""$HOME""#),
            (";", #"";""#), ("#", "\"#\""), ("a\nb\tc\r", #""a\nb\tc\r""#), ("\u{1}", #""\x01""#), ("é😀", #""é😀""#),
            ("\u{80}", #""\xc2\x80""#), (String(Unicode.Scalar(0xFFFE as UInt32)!), #""\xef\xbf\xbe""#),
            (String(Unicode.Scalar(0xFDD0 as UInt32)!), #""\xef\xb7\x90""#), ("'", #""'""#),
        ])
    func words(text: String, quoted: String) {
        #expect(Quoting.word(text) == quoted)
    }

    @Test("bytes that are not UTF-8 are escaped one by one")
    func invalidUTF8() {
        #expect(Quoting.word([0xFF, 0x41, 0xC3, 0x28, 0xED, 0xA0, 0x80]) == #""\xffA\xc3(\xed\xa0\x80""#)
    }

    @Test("NUL cannot be an argument")
    func nul() {
        #expect(ByteString([0x61, 0]) == nil)
    }
}

@Suite("Commands")
struct CommandTests {
    @Test(
        "prefixes",
        arguments: [
            ("/bin/echo", nil, ":/bin/echo"), ("/bin/echo", "/bin/echo", ":/bin/echo"),
            ("/bin/echo", "-sh", #":@/bin/echo "-sh""#),
            ("/a b", nil, #"":/a b""#), ("/a b", "c", #"":@/a b" "c""#), ("/100%", nil, ":/100%%"),
        ])
    func prefixes(path: String, name: String?, text: String) throws {
        let command = Command(path: ByteString(path.utf8)!, name: name.flatMap { ByteString($0.utf8) })
        #expect(try command.text() == text)
    }

    @Test(
        "paths that systemd refuses however they are quoted",
        arguments: [
            "echo", "", "/a\"b", "/a'b", "/a\\b", "/a\nb", "/a\u{7F}", "/dir/",
        ])
    func refusedPaths(path: String) throws {
        let error = #expect(throws: UnitError.self) { try Command(path: ByteString(path.utf8)!).text() }
        #expect(error?.key == "ExecStart")
        #expect(error?.value == path)
    }

    @Test("a path that is not UTF-8")
    func pathBytes() {
        #expect(throws: UnitError.self) { try Command(path: ByteString([0x2F, 0xFF])!).text() }
    }

    @Test("an argument that the kernel would refuse")
    func longArgument() throws {
        let longest = ByteString(repeatElement(UInt8(ascii: "a"), count: 131_071))!
        _ = try Command(path: "/bin/x", arguments: [longest]).text()
        let longer = ByteString(longest.bytes + [UInt8(ascii: "a")])!
        #expect(throws: UnitError.self) { try Command(path: "/bin/x", arguments: [longer]).text() }
    }

    @Test("a line that systemd would not read")
    func longLine() throws {
        let argument = ByteString(repeatElement(UInt8(1), count: 100_000))!
        let command = Command(path: "/bin/x", arguments: [argument, argument, argument])
        let service = Service(name: try UnitName("x", .service), summary: "x", command: command)
        let file = try service.file()
        let error = #expect(throws: UnitError.self) { try file.text() }
        #expect(error?.key == "ExecStart")
        #expect(error?.shownValue.count ?? 1_000 <= 201)
    }
}
