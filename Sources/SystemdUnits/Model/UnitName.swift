/// What a unit is, which its name's end tells.
public enum UnitKind: String, Sendable, CaseIterable {
    case service, slice, scope, socket, timer, target
}

/// A unit's name, checked as systemd checks it.
public struct UnitName: Hashable, Sendable, CustomStringConvertible {
    /// Without the kind: `api`, or `worker@` for a template.
    public let stem: String
    public let kind: UnitKind

    public static let accepted =
        "letters, digits and any of : - _ . \\ (and one @ before an instance), 255 characters at most with its ending"

    /// - Parameter text: with or without the ending of `kind`.
    /// - Throws: for characters that systemd refuses, another kind's ending, or a name that is too long.
    public init(_ text: String, _ kind: UnitKind) throws(UnitError) {
        let ending = "." + kind.rawValue
        let stem = text.hasSuffix(ending) ? String(text.dropLast(ending.count)) : text
        let otherKinds = ["mount", "automount", "swap", "path", "device"] + UnitKind.allCases.map(\.rawValue)
        guard !stem.isEmpty, stem.utf8.count + ending.utf8.count <= 255, stem.utf8.first != UInt8(ascii: "@"),
            stem.utf8.first != UInt8(ascii: "."),
            stem.utf8.allSatisfy({ Self.isAllowed($0) || $0 == UInt8(ascii: "@") }),
            stem.utf8.count(where: { $0 == UInt8(ascii: "@") }) <= 1,
            !otherKinds.contains(where: { stem.hasSuffix("." + $0) })
        else {
            throw UnitError(key: "unit name", value: text, accepted: Self.accepted)
        }
        if kind == .slice {
            // A slice's name is its place in the tree: every part between dashes is a slice, too.
            guard !stem.contains("@"),
                stem == "-" || !stem.split(separator: "-", omittingEmptySubsequences: false).contains("")
            else {
                throw UnitError(
                    key: "unit name", value: text,
                    accepted: "a slice's name: parts between single dashes, such as apps-web")
            }
        }
        self.stem = stem
        self.kind = kind
    }

    private init(checked stem: String, _ kind: UnitKind) {
        self.stem = stem
        self.kind = kind
    }

    /// A name from any text: what systemd does not allow becomes `\xNN`, as systemd-escape(1) writes it.
    public init(escaping text: String, _ kind: UnitKind) throws(UnitError) {
        var stem = ""
        for byte in text.utf8 {
            if Self.isAllowed(byte), byte != UInt8(ascii: "\\"), !(stem.isEmpty && byte == UInt8(ascii: ".")) {
                stem.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let digits = String(byte, radix: 16)
                stem += "\\x" + (digits.count == 1 ? "0" : "") + digits
            }
        }
        try self.init(stem, kind)
    }

    /// The name of another unit, in a key such as `After=`, with its ending.
    public static func checkReference(_ name: String, key: String) throws(UnitError) -> String {
        let endings = UnitKind.allCases.map(\.rawValue) + ["mount", "automount", "swap", "path", "device"]
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex, name.utf8.count <= 255,
            endings.contains(String(name[name.index(after: dot)...])),
            name.utf8.allSatisfy({ isAllowed($0) || $0 == UInt8(ascii: "@") })
        else {
            throw UnitError(key: key, value: name, accepted: "a unit's full name such as network.target")
        }
        return name
    }

    public var isTemplate: Bool { stem.hasSuffix("@") }

    /// `worker@.service` for `worker.service`.
    public var template: UnitName { UnitName(checked: stem + "@", kind) }

    public func instance(_ number: Int) -> String { stem + (isTemplate ? "" : "@") + "\(number).\(kind.rawValue)" }

    /// The same stem with another ending.
    public func of(_ kind: UnitKind) throws(UnitError) -> UnitName {
        try UnitName(isTemplate ? String(stem.dropLast()) : stem, kind)
    }

    /// `api.service`.
    public var description: String { stem + "." + kind.rawValue }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: #":-_.\"#.utf8.contains(byte)
        }
    }
}
