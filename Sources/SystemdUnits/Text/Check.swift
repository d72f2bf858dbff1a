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
        let isNumber = !name.isEmpty && name.utf8.allSatisfy { (0x30...0x39).contains($0) }
        let isValid =
            isNumber
            ? UInt32(name).map { $0 != .max && $0 != 0xFFFF } ?? false
            : name.utf8.count <= 31
                && name.utf8.enumerated().allSatisfy { index, byte in
                    switch byte {
                    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                        UInt8(ascii: "_"):
                        true
                    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."): index > 0
                    default: false
                    }
                } && !name.isEmpty
        guard isValid else {
            throw UnitError(
                key: key, value: name,
                accepted: "a name of letters, digits, _ - and . that starts with a letter or _, or a number")
        }
        return name
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

    /// A file mode in at least four octal digits: `0660`.
    static func mode(_ mode: UInt16, key: String) throws(UnitError) -> String {
        let digits = String(try range(mode, 0...0o7777, key: key), radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
