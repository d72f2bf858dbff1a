public import SandboxValues

/// How values are written in unit files. Everything that quotes does it here.
///
/// systemd reads a value in three steps: it splits into words and undoes C escapes, then expands `%`
/// specifiers, then, in commands only and when the program runs, `$`. An escape protects from the
/// first step alone, so `%` is doubled; `$` cannot be escaped in a way that keeps `$$`, which is why
/// commands are written with `ExecStart=:`.
public enum Quoting {
    /// systemd refuses lines longer than this, continuation lines counted together.
    public static let longestLine = 1 << 20
    /// The kernel's MAX_ARG_STRLEN less the final NUL.
    public static let longestString = 131_071

    /// One word, always in double quotes: blanks, quotes, `;`, `#` and nothing at all survive in there.
    ///
    /// - Parameter keepsSpecifiers: leaves `%` to systemd, for text that is meant to be expanded.
    public static func word(_ bytes: some Sequence<UInt8>, keepsSpecifiers: Bool = false) -> String {
        "\"" + escaped(Array(bytes), keepsSpecifiers: keepsSpecifiers) + "\""
    }

    public static func word(_ text: ByteString) -> String { word(text.bytes) }
    public static func word(_ text: String) -> String { word(text.utf8) }

    /// A path for a key that takes words: bare where nothing in it is special, for the human eye.
    public static func pathWord(_ path: String) -> String {
        path.utf8.allSatisfy(isPlain) ? path : word(path)
    }

    /// Text for a key that takes the rest of its line as it is, such as `Description=`: only `%` is special.
    ///
    /// - Throws: for control characters, which such a line cannot hold, and for blanks at either end,
    ///   which systemd would take away.
    public static func line(_ text: String, key: String) throws(UnitError) -> String {
        guard text.unicodeScalars.allSatisfy({ !$0.isUnprintable }), text.utf8.first != UInt8(ascii: " "),
            text.utf8.last != UInt8(ascii: " "), text.utf8.last != UInt8(ascii: "\\")
        else {
            throw UnitError(
                key: key, value: text,
                accepted: "one line without control characters, blanks at its ends or a backslash at its end")
        }
        return doublingPercent(text)
    }

    /// What every specifier would need to be itself.
    public static func doublingPercent(_ text: String) -> String {
        text.contains("%") ? String(text.flatMap { $0 == "%" ? "%%" : String($0) }) : text
    }

    // MARK: Escapes

    /// Valid UTF-8 stays readable; every other byte, and every character that systemd would refuse or
    /// an editor could not show, becomes an escape.
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

    private static func appendHexadecimal(_ byte: UInt8, to result: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        result.append(contentsOf: [
            UInt8(ascii: "\\"), UInt8(ascii: "x"), digits[Int(byte >> 4)], digits[Int(byte & 15)],
        ])
    }

    /// - Returns: the scalar at the front and its length, or `nil` and 1 for a byte that starts none.
    private static func decodeScalar(_ bytes: ArraySlice<UInt8>) -> (Unicode.Scalar?, Int) {
        var iterator = bytes.prefix(4).makeIterator()
        var decoder = UTF8()
        if case .scalarValue(let scalar) = decoder.decode(&iterator) {
            return (scalar, UTF8.width(scalar))
        }
        return (nil, 1)
    }

    /// Whether systemd takes the bytes for text, as it demands of the values of variables.
    static func isText(_ bytes: [UInt8]) -> Bool {
        guard let text = String(validating: bytes, as: UTF8.self) else { return false }
        return text.unicodeScalars.allSatisfy {
            !(0xFDD0...0xFDEF).contains($0.value) && $0.value & 0xFFFE != 0xFFFE
        }
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "/._-+:@=,".utf8.contains(byte)
        }
    }
}
