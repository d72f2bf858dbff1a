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
    /// stay what they are.
    ///
    /// - Parameter keepsSpecifiers: whether `%` is left for systemd to expand, and not doubled.
    package static func word(_ bytes: some Sequence<UInt8>, keepsSpecifiers: Bool = false) -> String {
        "\"" + escaped(Array(bytes), keepsSpecifiers: keepsSpecifiers) + "\""
    }

    /// The bytes as one word in double quotes, in which nothing is expanded.
    package static func word(_ text: ByteString) -> String { word(text.bytes) }
    /// The text as one word in double quotes, in which nothing is expanded.
    package static func word(_ text: String) -> String { word(text.utf8) }

    /// A path for a directive that takes words. Without quotes where nothing in the path needs them, which is easier
    /// to read.
    package static func pathWord(_ path: String) -> String {
        path.utf8.allSatisfy(isPlain) ? path : word(path)
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

    /// The inside of a quoted word. Valid UTF-8 stays readable; every other byte, and every character that systemd
    /// would refuse or an editor could not show, becomes an escape.
    private static func escaped(_ bytes: [UInt8], keepsSpecifiers: Bool) -> String {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + 16)
        var rest = bytes[...]
        while let byte = rest.first {
            guard byte >= 0x80 else {
                append(byte, to: &result, keepsSpecifiers)
                rest.removeFirst()
                continue
            }
            let (scalar, length) = decodeScalar(rest)
            if let scalar, !scalar.isUnprintable {
                result.append(contentsOf: rest.prefix(length))
            } else {
                for byte in rest.prefix(length) { appendHexadecimal(byte, to: &result) }
            }
            rest = rest.dropFirst(length)
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// Appends a byte of ASCII, escaped where it would not be itself between double quotes.
    private static func append(_ byte: UInt8, to result: inout [UInt8], _ keepsSpecifiers: Bool) {
        switch byte {
        case UInt8(ascii: "%"): result.append(contentsOf: (keepsSpecifiers ? "%" : "%%").utf8)
        case UInt8(ascii: "\\"): result.append(contentsOf: #"\\"#.utf8)
        case UInt8(ascii: "\""): result.append(contentsOf: #"\""#.utf8)
        case UInt8(ascii: "\n"): result.append(contentsOf: #"\n"#.utf8)
        case UInt8(ascii: "\t"): result.append(contentsOf: #"\t"#.utf8)
        case UInt8(ascii: "\r"): result.append(contentsOf: #"\r"#.utf8)
        case 0x20..<0x7F: result.append(byte)
        default: appendHexadecimal(byte, to: &result)
        }
    }

    /// Appends `\xNN`.
    private static func appendHexadecimal(_ byte: UInt8, to result: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        result.append(contentsOf: [
            UInt8(ascii: "\\"), UInt8(ascii: "x"), digits[Int(byte >> 4)], digits[Int(byte & 15)],
        ])
    }

    /// - Returns: the character at the front and its length in bytes, or `nil` and 1 for a byte that starts no UTF-8.
    private static func decodeScalar(_ bytes: ArraySlice<UInt8>) -> (Unicode.Scalar?, Int) {
        var iterator = bytes.prefix(4).makeIterator()
        var decoder = UTF8()
        if case .scalarValue(let scalar) = decoder.decode(&iterator) {
            return (scalar, UTF8.width(scalar))
        }
        return (nil, 1)
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
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "/._-+:@=,".utf8.contains(byte)
        }
    }
}
