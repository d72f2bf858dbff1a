extension Unicode.Scalar {
    /// Whether the scalar has no place in a line of text. That is so for control characters, which end the line or talk
    /// to terminals, for Unicode's own line ends, and for code points that stand for no character, which systemd and
    /// D-Bus take for invalid UTF-8.
    package var isUnprintable: Bool {
        switch value {
        case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029, 0xFEFF, 0xFDD0...0xFDEF: true
        default: value & 0xFFFE == 0xFFFE
        }
    }

    /// The scalar, or the escape that stands for it in a line: `\n`, `\t`, `\r`, `\x1b`, `\u2028`.
    fileprivate var shown: String {
        guard isUnprintable else { return String(self) }
        switch self {
        case "\n": return #"\n"#
        case "\t": return #"\t"#
        case "\r": return #"\r"#
        default: return (value < 0x100 ? #"\x"# : #"\u"#) + digits(value, 2, radix: 16)
        }
    }
}

extension StringProtocol {
    /// The text in one line, whatever it holds: what cannot be printed is shown as an escape. All else stays as it is,
    /// backslashes as well, since this is for people.
    package var inOneLine: String {
        unicodeScalars.contains(where: \.isUnprintable) ? unicodeScalars.map(\.shown).joined() : String(self)
    }

    /// The text as a name in a sentence, in quotes unless it is one word: a name that somebody else chose must not read
    /// like a part of the sentence.
    package var asName: String {
        let isWord =
            !isEmpty && !unicodeScalars.contains { $0.isUnprintable || $0 == "\"" || $0.properties.isWhitespace }
        return isWord ? String(self) : "\"" + inOneLine.replacing("\"", with: "\\\"") + "\""
    }
}
