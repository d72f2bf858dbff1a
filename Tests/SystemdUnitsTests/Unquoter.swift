/// systemd's reading of a value, written from its manual and not from the code under test: words with
/// quotes and C escapes, then specifiers. Only what the generator may write is understood.
enum Unquoter {
    struct Failure: Error {
        var reason: String
    }

    static func words(_ line: String) throws -> [[UInt8]] {
        var words: [[UInt8]] = []
        var word: [UInt8]?
        var rest = Array(line.utf8)[...]
        var isQuoted = false
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""):
                isQuoted.toggle()
                word = word ?? []
            case UInt8(ascii: " ") where !isQuoted:
                if let word { words.append(word) }
                word = nil
            case UInt8(ascii: "\\"):
                word = (word ?? []) + [try escape(&rest)]
            case 0..<0x20:
                throw Failure(reason: "a control character in the file")
            default:
                word = (word ?? []) + [byte]
            }
        }
        guard !isQuoted else { throw Failure(reason: "an open quote") }
        return try (words + [word].compactMap { $0 }).map(withoutSpecifiers)
    }

    private static func escape(_ rest: inout ArraySlice<UInt8>) throws -> UInt8 {
        switch rest.popFirst() {
        case UInt8(ascii: "n"): return 0x0A
        case UInt8(ascii: "t"): return 0x09
        case UInt8(ascii: "r"): return 0x0D
        case UInt8(ascii: "\\"): return UInt8(ascii: "\\")
        case UInt8(ascii: "\""): return UInt8(ascii: "\"")
        case UInt8(ascii: "x"):
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            rest = rest.dropFirst(2)
            guard let byte = UInt8(digits, radix: 16), byte > 0 else { throw Failure(reason: "\\x\(digits)") }
            return byte
        case let other: throw Failure(reason: "an unknown escape \(String(describing: other))")
        }
    }

    private static func withoutSpecifiers(_ word: [UInt8]) throws -> [UInt8] {
        var result: [UInt8] = []
        var rest = word[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.popFirst() != UInt8(ascii: "%") {
                throw Failure(reason: "a specifier that would be expanded")
            }
            result.append(byte)
        }
        return result
    }
}

/// The same numbers on every run.
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
