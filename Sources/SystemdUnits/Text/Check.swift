internal import SandboxValues

/// What values have to look like, whatever directive they are for. Each check returns the value as it is written, or
/// throws an error that names the directive, which is its `key`.
enum Check {
    /// An absolute path without parts `.` or `..` and without control characters, not yet quoted.
    static func path(_ path: String, key: String) throws(UnitError) -> String {
        let parts = path.split(separator: "/")
        guard path.hasPrefix("/"), path.utf8.count < 4096,
            path.unicodeScalars.allSatisfy({ !$0.isUnprintable }), !parts.contains("."), !parts.contains("..")
        else {
            throw UnitError(
                key: key, value: path, accepted: "an absolute path without . or .. parts and control characters")
        }
        return path
    }

    /// An absolute path for a directive that takes the rest of its line as it is.
    static func pathLine(_ path: String, key: String) throws(UnitError) -> String {
        try Quoting.line(try Check.path(path, key: key), key: key)
    }

    /// A user or group by name or number, by the rules that systemd has for `User=`.
    static func account(_ name: String, key: String) throws(UnitError) -> String {
        let isValid =
            name.utf8.allSatisfy(\.isDigit)
            ? UInt32(name).map { $0 != .max && $0 != 0xFFFF } ?? false
            : name.utf8.count <= 31 && isName(name.utf8, others: "-.")
        guard isValid else {
            throw UnitError(
                key: key, value: name,
                accepted: "a name of letters, digits, _ - and . that starts with a letter or _, or a number")
        }
        return name
    }

    /// Whether the bytes are a name as shells know them: letters and `_`, after the first of them also digits, and
    /// `others` as well.
    static func isName(_ bytes: some Sequence<UInt8>, others: String = "") -> Bool {
        bytes.enumerated().allSatisfy { index, byte in
            byte.isLetter || byte == UInt8(ascii: "_") || index > 0 && (byte.isDigit || others.utf8.contains(byte))
        }
    }

    /// A number within its range.
    static func range<Number: Comparable>(
        _ value: Number, _ range: ClosedRange<Number>, key: String
    ) throws(UnitError) -> Number {
        guard range.contains(value) else {
            throw UnitError(
                key: key, value: "\(value)", accepted: "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// A number of at least 1 that systemd can count to.
    static func count(_ count: Int, key: String) throws(UnitError) -> String {
        String(try range(count, 1...Int(Int32.max), key: key))
    }

    /// A file mode in at least four octal digits: `0660`.
    static func mode(_ mode: UInt16, key: String) throws(UnitError) -> String {
        let digits = String(try range(mode, 0...0o7777, key: key), radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}

extension UInt8 {
    /// Whether the byte is a digit of ASCII.
    var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
    /// Whether the byte is a letter of ASCII.
    var isLetter: Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self)
    }
}
