import SystemdBus
import Testing

/// Swift takes none in a literal.
private func noncharacter(_ value: UInt32) -> String { String(Unicode.Scalar(value)!) }

struct PropertyTests {
    @Test(arguments: [
        ("OOMPolicy=kill", UnitProperty("OOMPolicy", .string("kill"))),
        ("IOWeight=50", UnitProperty("IOWeight", .uint64(50))),
        ("MemoryLow=1G", UnitProperty("MemoryLow", .uint64(1 << 30))),
        ("MemoryLow=infinity", UnitProperty("MemoryLow", .uint64(.max))),
        ("IPAccounting=yes", UnitProperty("IPAccounting", .bool(true))),
        ("IPAccounting=0", UnitProperty("IPAccounting", .bool(false))),
        ("CPUQuotaPeriodSec=10ms", UnitProperty("CPUQuotaPeriodUSec", .uint64(10_000))),
        ("CPUQuotaPeriodSec=2min", UnitProperty("CPUQuotaPeriodUSec", .uint64(120_000_000))),
        ("CPUQuotaPeriodSec=1", UnitProperty("CPUQuotaPeriodUSec", .uint64(1_000_000))),
        ("After=a.service b.service", UnitProperty("After", .strings(["a.service", "b.service"]))),
    ])
    func assignment(_ text: String, _ expected: UnitProperty) throws {
        #expect(try UnitProperty(assignment: text) == expected)
    }

    @Test(arguments: [
        ("OOMPolicy", "KEY=VALUE"), ("=kill", "KEY=VALUE"), ("OOMPolicy=perhaps", "continue, stop, kill"),
        ("MemoryMax=1G", "--mem"), ("TasksMax=5", "--pids"), ("PIDs=1", "holds the job"),
        ("KillSignal=SIGTERM", "holds the job"), ("Nonsense=1", "one of the keys"), ("IOWeight=0", "1 to 10000"),
        ("MemoryLow=1.5G", "bytes"), ("MemoryLow=99999999999T", "bytes"), ("IPAccounting=maybe", "yes or no"),
        ("CPUQuotaPeriodSec=-1", "a time"), ("After=", "names"),
        ("After=a.service\nOnSuccess=b.service", "in one line"),
        ("After=a.service\r\nb.service", "in one line"), ("Documentation=man:a\\", "in one line"),
        ("SourcePath=/a\nOnSuccess=b.service", "one line of at most 4095 bytes"), ("SourcePath=/a\\", "one line"),
        ("SourcePath= /a", "one line"), ("SourcePath=/a ", "one line"),
        ("SourcePath=/" + String(repeating: "a", count: 4096), "one line"),
    ])
    func refusal(_ text: String, _ accepted: String) {
        let error = #expect(throws: PropertySyntaxError.self) { try UnitProperty(assignment: text) }
        #expect(error?.accepted.contains(accepted) == true, "\(error?.accepted ?? "")")
    }

    // MARK: Text

    /// What systemd reads back from the unit's file, where it stands behind `Description=`: lines end at each of
    /// LF, CR and NUL, one with an odd backslash at its end goes on in the next, and blanks at the ends go.
    private func readBack(_ text: String) -> [String] {
        let lines = (text + "\nNext=").unicodeScalars.split { ["\n", "\r", "\0"].contains($0) }.map { String($0) }
        var result: [String] = []
        var isContinued = false
        for line in lines {
            result = isContinued ? result.dropLast() + [result.last! + line] : result + [line]
            isContinued = line.utf8.reduce(false) { !$0 && $1 == UInt8(ascii: "\\") }
        }
        return result.map { line in
            let blanks: (Unicode.Scalar) -> Bool = { $0 == " " || $0 == "\t" }
            return String(
                String.UnicodeScalarView(
                    line.unicodeScalars.drop(while: blanks).reversed().drop(while: blanks).reversed()))
        }
    }

    @Test(arguments: [
        ("sleep 1", "sleep 1"), ("", ""), ("a\nOnSuccess=x.service", #"a\nOnSuccess=x.service"#), ("a\n", #"a\n"#),
        ("a\r\nb\rc", #"a\r\nb\rc"#), ("a\0b", #"a\x00b"#), ("\u{1B}[0m\u{7F}\u{85}\u{9B}", #"\x1b[0m\x7f\x85\x9b"#),
        ("\u{2028}\u{FEFF}\(noncharacter(0xFDD0))\(noncharacter(0x1FFFF))", #"\u2028\ufeff\ufdd0\u1ffff"#),
        ("\t", #"\t"#),
        (#"a\"#, #"a\\"#), (#"a\\"#, #"a\\"#), (#"a\\\"#, #"a\\\\"#), (#"\"#, #"\\"#), (#"a\ "#, #"a\\"#),
        (#"a\b\\c"#, #"a\b\\c"#), ("  a  b  ", "a  b"), ("   ", ""), (" \u{301}a", "\u{301}a"), ("%n%%", "%n%%"),
        ("é日本😀", "é日本😀"), ("a\u{A0}", "a\u{A0}"),
    ])
    func textBecomesOneLine(_ text: String, _ line: String) {
        #expect(UnitProperty.line(text) == line)
        #expect(readBack(line) == (line.isEmpty ? ["Next="] : [line, "Next="]))
        // What the command line shows is what systemd gets.
        let shown = UnitProperty("Description", .string(text)).description
        #expect(shown == "Description=\(text.contains(" ") ? "\"\(line)\"" : line)")
        #expect(UnitProperty("Documentation", .strings([text, "b"])).description == "Documentation=\(line),b")
    }

    @Test func randomTextReadsBackAsItIs() {
        var generator = SystemRandomNumberGenerator()
        let scalars = Array("a =\\\\\\%\"'#;\n\r\t\0\u{1B}\u{85}\u{2028}\(noncharacter(0xFFFE))é".unicodeScalars)
        for _ in 0..<2_000 {
            let text = (0..<Int.random(in: 0...12, using: &generator))
                .map { _ in String(scalars.randomElement(using: &generator)!) }.joined()
            let line = UnitProperty.line(text)
            #expect(UnitProperty.line(line) == line)
            #expect(readBack("Description=" + line) == ["Description=" + line, "Next="], "\(text.debugDescription)")
        }
    }

    @Test func longTextIsCut() {
        for (piece, size) in [("a", 4_095), ("é", 4_094), ("\u{1B}", 4_092), ("\\", 4_096), ("😀", 4_092)] {
            let line = UnitProperty.line(String(repeating: piece, count: 1 << 20))
            #expect(line.utf8.count == size)
            #expect(UnitProperty.line(line) == line)
        }
        // One of Swift's characters.
        #expect(UnitProperty.line("e" + String(repeating: "\u{301}", count: 1 << 20)).utf8.count == 4_095)
    }
}
