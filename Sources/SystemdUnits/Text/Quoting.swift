package import SandboxValues

/// How values are quoted in unit files (systemd.syntax(7)). Whatever has to be quoted is quoted here.
///
/// systemd reads a value in three steps: it splits it into words and undoes C escapes such as `\n`, then it expands
/// specifiers such as `%n`, then, in commands only and when the program is run, variables such as `$HOME`. A
/// backslash protects from the first step alone, so `%` is doubled to `%%`. A `$` cannot be protected in a way that
/// also keeps `$$`; so commands are written as `ExecStart=:…`, which turns the third step off.
package enum Quoting {
    /// How many bytes of a line systemd reads; it refuses a longer one. Lines that are continued count as one.
    package static let longestLine = 1 << 20
    /// How many bytes one argument or variable of a program may have: the kernel's `MAX_ARG_STRLEN` without the final
    /// NUL.
    package static let longestString = 131_071

    /// The bytes as one word, always in double quotes, between which blanks, quotes, `;`, `#` and even nothing at all
    /// stay what they are, and in which nothing is expanded.
    package static func word(_ bytes: some Sequence<UInt8>) -> String { "\"" + escaped(Array(bytes)) + "\"" }

    /// The bytes as one word in double quotes.
    package static func word(_ text: ByteString) -> String { word(text.bytes) }
    /// The text as one word in double quotes.
    package static func word(_ text: String) -> String { word(text.utf8) }

    /// A path for a directive that takes words. Without quotes where nothing in the path needs them, which is easier
    /// to read.
    package static func pathWord(_ path: String) -> String {
        path.utf8.allSatisfy(isPlain) ? path : word(path)
    }

    /// A path for a directive that takes a pattern of glob(7), in which the path's characters stand for themselves.
    package static func escapingPattern(_ path: String) -> String {
        String(path.flatMap { #"*?[\"#.contains($0) ? ["\\", $0] : [$0] })
    }

    /// Text for a directive that takes the rest of its line as it is, such as `Description=`, where only `%` is
    /// special.
    ///
    /// - Throws: for control characters, which such a line cannot hold, for blanks at either end, which systemd would
    ///   take away, and for a backslash at the end, which would join the next line to this one.
    package static func line(_ text: String, key: String) throws(UnitError) -> String {
        guard text.unicodeScalars.allSatisfy({ !$0.isUnprintable }), text.utf8.first != UInt8(ascii: " "),
            text.utf8.last != UInt8(ascii: " "), text.utf8.last != UInt8(ascii: "\\")
        else {
            throw UnitError(
                key: key, value: text,
                accepted: "one line without control characters, blanks at its ends or a backslash at its end")
        }
        return doublingPercent(text)
    }

    /// The text with `%%` for every `%`, which systemd turns back into `%`.
    package static func doublingPercent(_ text: String) -> String {
        text.contains("%") ? String(text.flatMap { $0 == "%" ? "%%" : String($0) }) : text
    }

    // MARK: Escapes

    /// The inside of a quoted word. Valid UTF-8 stays readable; every other byte, and every byte of a character that
    /// systemd would refuse or an editor could not show, becomes an escape.
    private static func escaped(_ bytes: [UInt8]) -> String {
        var result = ""
        var rest = bytes[...]
        while let byte = rest.first {
            var iterator = rest.makeIterator()
            var decoder = UTF8()
            if case .scalarValue(let scalar) = decoder.decode(&iterator), let text = escaped(scalar) {
                result += text
                rest.removeFirst(UTF8.width(scalar))
            } else {
                result += hexadecimal(byte)
                rest.removeFirst()
            }
        }
        return result
    }

    /// The character as it is written between double quotes; `nil` for one whose bytes have to be escaped.
    private static func escaped(_ scalar: Unicode.Scalar) -> String? {
        switch scalar {
        case "%": "%%"
        case "\\": #"\\"#
        case "\"": #"\""#
        case "\n": #"\n"#
        case "\t": #"\t"#
        case "\r": #"\r"#
        default: scalar.isUnprintable ? nil : String(scalar)
        }
    }

    /// The byte as `\xNN`.
    static func hexadecimal(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16)
        return #"\x"# + (digits.count == 1 ? "0" : "") + digits
    }

    /// Whether systemd takes the bytes for text: UTF-8 without the code points that Unicode keeps for no characters.
    /// Values of variables in `Environment=` have to be text.
    static func isText(_ bytes: [UInt8]) -> Bool {
        guard let text = String(validating: bytes, as: UTF8.self) else { return false }
        return text.unicodeScalars.allSatisfy {
            !(0xFDD0...0xFDEF).contains($0.value) && $0.value & 0xFFFE != 0xFFFE
        }
    }

    /// Whether a path with this byte needs no quotes for it.
    private static func isPlain(_ byte: UInt8) -> Bool {
        byte.isLetter || byte.isDigit || "/._-+:@=,".utf8.contains(byte)
    }
}
