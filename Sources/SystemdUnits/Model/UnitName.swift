/// What a unit is, told by the ending of its name. The raw value is that ending without its dot.
public enum UnitKind: String, Sendable, CaseIterable {
    /// `.service`: a command that systemd runs; see `Service`.
    case service
    /// `.slice`: limits that units share; see `Slice`.
    case slice
    /// `.scope`: processes that another program started and handed to systemd; see `ScopeDefaults`.
    case scope
    /// `.socket`: sockets that systemd opens for a service; see `Socket`.
    case socket
    /// `.timer`: times at which systemd starts a service; see `Timer`.
    case timer
    /// `.target`: a group of units; see `Target`.
    case target
}

/// A unit's name, checked as systemd checks it (systemd.unit(5)).
///
/// Letters of ASCII, digits and `: - _ . \` are allowed, 255 characters at most with the ending. An `@` separates the
/// name of a template from that of an instance, as in `worker@1.service`; with nothing behind it, as in
/// `worker@.service`, the name is that of the template itself.
public struct UnitName: Hashable, Sendable, CustomStringConvertible {
    /// The name without its ending: `api`, or `worker@` for a template.
    public let stem: String
    /// What the name's ending says.
    public let kind: UnitKind

    private static let accepted =
        "letters, digits and any of : - _ . \\ (and one @ before an instance), 255 characters at most with its ending"

    /// The endings of all units' names, also of those that have no model here.
    private static let endings = ["mount", "automount", "swap", "path", "device"] + UnitKind.allCases.map(\.rawValue)

    /// A name as it is written.
    ///
    /// - Parameters:
    ///   - text: the name, with or without the ending of `kind`.
    ///   - kind: what the unit is.
    /// - Throws: for characters that systemd refuses, the ending of another kind, a dot or `@` at the beginning, two
    ///   `@`, a name that is empty or too long, and for a slice also `@` and dashes at an end or next to each other.
    public init(_ text: String, _ kind: UnitKind) throws(UnitError) {
        let ending = "." + kind.rawValue
        let stem = text.hasSuffix(ending) ? String(text.dropLast(ending.count)) : text
        guard !stem.isEmpty, stem.utf8.count + ending.utf8.count <= 255, stem.utf8.first != UInt8(ascii: "@"),
            stem.utf8.first != UInt8(ascii: "."),
            stem.utf8.allSatisfy({ Self.isAllowed($0) || $0 == UInt8(ascii: "@") }),
            stem.utf8.count(where: { $0 == UInt8(ascii: "@") }) <= 1,
            !Self.endings.contains(where: { stem.hasSuffix("." + $0) })
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

    /// A name from parts that are known to be allowed.
    private init(checked stem: String, _ kind: UnitKind) {
        self.stem = stem
        self.kind = kind
    }

    /// A name from any text: every byte that systemd does not allow, and `\` and `@`, becomes `\xNN` with the byte's
    /// hexadecimal digits, as with systemd-escape(1). Other than there, `-` stays, and so does the ending of `kind`.
    ///
    /// - Throws: for text that is empty, too long once it is escaped, or has another kind's ending, and for a slice
    ///   also for dashes at an end or next to each other.
    public init(escaping text: String, _ kind: UnitKind) throws(UnitError) {
        var stem = ""
        for byte in text.utf8 {
            if Self.isAllowed(byte), byte != UInt8(ascii: "\\"), !(stem.isEmpty && byte == UInt8(ascii: ".")) {
                stem.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                stem += Quoting.hexadecimal(byte)
            }
        }
        try self.init(stem, kind)
    }

    /// The same name, once it is known to be a full one that a directive such as `After=` takes.
    ///
    /// - Parameters:
    ///   - name: a unit's name with its ending, which may also be that of a mount, automount, swap, path or device.
    ///   - key: the directive, for the error.
    /// - Throws: for a name without an ending, with other characters than unit names have, or of over 255 bytes.
    package static func checkReference(_ name: String, key: String) throws(UnitError) -> String {
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex, name.utf8.count <= 255,
            endings.contains(String(name[name.index(after: dot)...])),
            name.utf8.allSatisfy({ isAllowed($0) || $0 == UInt8(ascii: "@") })
        else {
            throw UnitError(key: key, value: name, accepted: "a unit's full name such as network.target")
        }
        return name
    }

    /// - Throws: for the full name of a unit that is systemd's own.
    package static func refuseReserved(_ name: String) throws(UnitError) {
        guard !reserved.contains(name) else {
            throw UnitError(
                key: "unit name", value: name, accepted: "a name that is not one of systemd's own (a prefix helps)")
        }
    }

    /// Units that systemd boots and shuts down by, or that come with it.
    private static let reserved: Set<String> = Set(
        [
            "basic", "bluetooth", "default", "emergency", "exit", "final", "getty", "graphical", "halt", "initrd",
            "local-fs", "machines", "multi-user", "network", "network-online", "network-pre", "nss-lookup",
            "nss-user-lookup", "paths", "poweroff", "printer", "reboot", "remote-fs", "rescue", "rpcbind",
            "runlevel3", "runlevel5", "shutdown", "sigpwr", "sleep", "slices", "smartcard", "sockets", "sound",
            "suspend", "swap", "sysinit", "system-update", "time-set", "time-sync", "timers", "umount",
        ].map { $0 + ".target" }
            + ["dbus", "emergency", "rescue", "systemd-journald", "systemd-logind", "systemd-udevd", "getty", "user"]
            .map { $0 + ".service" })

    /// Whether this is the name of a template, from which instances are made: `worker@.service`.
    public var isTemplate: Bool { stem.hasSuffix("@") }

    /// The name of a template with this name: `worker@.service` for `worker.service`. Not for a name with an `@`
    /// already.
    public var template: UnitName { UnitName(checked: stem + "@", kind) }

    /// The full name of the template's instance with this number: `worker@3.service` for `worker.service` or
    /// `worker@.service`.
    public func instance(_ number: Int) -> String { stem + (isTemplate ? "" : "@") + "\(number).\(kind.rawValue)" }

    /// The same name with another ending, and without the `@` of a template: `worker.target` for `worker@.service`.
    ///
    /// - Throws: where a unit of that kind cannot have the name.
    public func of(_ kind: UnitKind) throws(UnitError) -> UnitName {
        try UnitName(isTemplate ? String(stem.dropLast()) : stem, kind)
    }

    /// The full name, with its ending: `api.service`.
    public var description: String { stem + "." + kind.rawValue }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        byte.isLetter || byte.isDigit || #":-_.\"#.utf8.contains(byte)
    }
}
