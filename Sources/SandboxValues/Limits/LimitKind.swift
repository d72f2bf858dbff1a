/// A kind of limit, as one row of a table: its option, its files, its names under systemd and in the report.
///
/// Whatever handles limits goes through the rows, so a new kind of limit is a new row in `LimitKind+Table.swift`, a
/// field of `Limits`, and an option in the command line's help.
package struct LimitKind: Hashable, Sendable {
    /// The option without its dashes: `mem`.
    package let option: String
    /// What messages to programs call it: `memory limit`.
    package let noun: String
    /// How the option's value is called in help.
    package let valueName: String
    package let help: String
    package let controller: Controller
    /// The control file of cgroup v2.
    package let file: String
    /// How the kernel shows what was written.
    package var readBack = ReadBack.value
    /// The directives of unit files that limits of this kind may give.
    package let directiveNames: [String]
    /// The property on the bus, where it is not called as the directive is.
    var busName: String?
    /// The name in the report's `limits`.
    package let reportKey: String
    let field: LimitField
    /// A value that every machine with the controller can enforce, to find out whether this machine can; `nil` where
    /// that depends on the machine.
    package var sample: String?
    /// What is written to files of cgroup v1 instead of `file`, in this order. Takes the values of `ResolvedLimits`.
    package let legacyValues: @Sendable (Limits) throws(LegacyRefusal) -> [LegacyValue]

    /// The option as it is typed: `--mem`.
    package var flag: String { "--" + option }
    package var name: LimitName { LimitName(description: noun, flag: flag) }

    /// Reads the option's value into the limits.
    package func parse(_ text: String, _ limits: inout Limits) throws(LimitSyntaxError) {
        try field.parse(text, &limits)
    }

    // What `LimitValue` says of the limit of this kind; nothing where it is not given.

    package func kernelTexts(_ limits: Limits) -> [String] { field.value(limits)?.kernelTexts ?? [] }

    package func busProperties(_ limits: Limits) -> [BusProperty] {
        field.value(limits)?.busProperties(busName ?? directiveNames[0]) ?? []
    }

    package func directives(_ limits: Limits) -> [Directive] {
        field.value(limits)?.directives(directiveNames[0]) ?? []
    }

    package func origin(_ limits: Limits) -> String? { field.value(limits)?.origin }

    // In the report's `limits`, where no limit is `null`.

    package func encode(_ limits: Limits, to report: inout KeyedEncodingContainer<NameKey>) throws {
        try field.encode(limits, &report, NameKey(stringValue: reportKey))
    }

    package func decode(_ report: KeyedDecodingContainer<NameKey>, into limits: inout Limits) {
        field.decode(report, NameKey(stringValue: reportKey), &limits)
    }

    package enum ReadBack: Sendable {
        /// As it was written, or as memory in whole pages.
        case value
        /// As one line for each device that has limits; the line also has the other limits of the device.
        case lineOfDevice

        /// Whether a control file shows what was written.
        ///
        /// - Parameters:
        ///   - file: the content of the control file.
        ///   - pageSize: the kernel keeps memory in whole pages, rounded down.
        package func has(_ written: String, in file: String, pageSize: UInt64) -> Bool {
            if written == file { return true }
            switch self {
            case .value:
                guard let wanted = UInt64(written), let got = UInt64(file) else { return false }
                return got == wanted / pageSize * pageSize
            case .lineOfDevice:
                let words = written.split(separator: " ")
                let lines = file.split(separator: "\n").map { $0.split(separator: " ") }
                guard let line = lines.first(where: { $0.first == words.first }) else {
                    // A device without limits has no line.
                    return words.dropFirst().allSatisfy { $0 == "0" || $0.hasSuffix("=max") }
                }
                return words.allSatisfy(line.contains)
            }
        }
    }

    /// Why cgroup v1 cannot enforce a limit.
    package struct LegacyRefusal: Error, Sendable {
        package let reason: String
    }

    /// A value for a file of cgroup v1.
    package struct LegacyValue: Sendable {
        package let file: String
        /// `nil`: what the file `copied` of the group above contains.
        package let text: String?
        package let copied: String

        init(_ file: String, _ text: String) { (self.file, self.text, copied) = (file, text, "") }
        init(_ file: String, copyOf above: String) { (self.file, text, copied) = (file, nil, above) }
    }

    package struct BusProperty: Sendable {
        package enum Value: Sendable {
            case number(UInt64)
            /// One bit for each number, the lowest first.
            case bits(Set<Int>)
            /// A number for each device, which is named by a path.
            case devices([(path: String, value: UInt64)])
        }

        package let name: String
        package let value: Value
    }

    package typealias Directive = (name: String, value: String)

    package static func == (a: LimitKind, b: LimitKind) -> Bool { a.option == b.option }
    package func hash(into hasher: inout Hasher) { hasher.combine(option) }

    package static func named(_ option: some StringProtocol) -> LimitKind? { all.first { $0.option == option } }
}
