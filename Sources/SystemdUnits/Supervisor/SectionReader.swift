internal import SandboxValues

/// Reads the values of one section's keys: expanded, and as the types that supervisor wants. Each reading throws an
/// error with the key and what it would take.
struct SectionReader {
    var configuration: SupervisorConfiguration
    /// The section's name, without brackets.
    var section: String
    var expansions: Expansions

    /// The key's text before expansion; `nil` where the key is not there.
    func raw(_ key: String) -> String? { configuration.value(section, key)?.text }

    /// An error about this key of this section, and the file that the key is in.
    func failure(_ key: String, _ message: String) -> SupervisorError {
        let file = configuration.value(section, key)?.file ?? configuration.section(section)?.file ?? ""
        return SupervisorError(file: file, line: nil, section: section, key: key, message: message)
    }

    /// The key's text after expansion; `nil` where the key is not there.
    func text(_ key: String) throws(SupervisorError) -> String? {
        guard let raw = raw(key) else { return nil }
        return try expand(raw, key)
    }

    /// Expands a text that belongs to this key.
    func expand(_ text: String, _ key: String) throws(SupervisorError) -> String {
        do { return try expansions.expand(text) } catch { throw failure(key, "\(text): \(error.message)") }
    }

    /// What `parse` reads in the key's text; `nil` where the key is not there.
    ///
    /// - Throws: where `parse` gives `nil`, an error that says what would be accepted.
    func value<Value>(
        _ key: String, _ accepted: String, _ parse: (String) -> Value?
    ) throws(SupervisorError) -> Value? {
        guard let text = try text(key) else { return nil }
        guard let value = parse(text) else { throw failure(key, "\(text): expected \(accepted)") }
        return value
    }

    func flag(_ key: String) throws(SupervisorError) -> Bool? {
        try value(key, "true or false") { Self.flag($0) }
    }

    /// What supervisor takes for true and false; `nil` for anything else.
    static func flag(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "yes", "true", "on", "1": true
        case "no", "false", "off", "0": false
        default: nil
        }
    }

    func integer(_ key: String, in range: ClosedRange<Int> = 0...Int(Int32.max)) throws(SupervisorError) -> Int? {
        try value(key, "a whole number from \(range.lowerBound) to \(range.upperBound)") { text in
            Int(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// A size in bytes, read from a number, or from a number with KB, MB or GB behind it.
    func size(_ key: String) throws(SupervisorError) -> Int? {
        let size = try value(key, "bytes, or a number with KB, MB or GB") { text in
            let lower = text.lowercased()
            let factors = ["kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30]
            let factor = factors.first { lower.hasSuffix($0.key) }
            let digits = SupervisorConfiguration.stripped(factor == nil ? lower : String(lower.dropLast(2)))
            return Int(digits).flatMap { $0 < 0 ? nil : $0.multipliedReportingOverflow(by: factor?.value ?? 1) }
        }
        guard size?.overflow != true else { throw failure(key, "\(try text(key) ?? ""): too large") }
        return size?.partialValue
    }

    /// A file mode or mask, read from octal digits.
    func mode(_ key: String) throws(SupervisorError) -> UInt16? {
        try value(key, "octal digits such as 022") { text in
            let digits = text.hasPrefix("0o") || text.hasPrefix("0O") ? String(text.dropFirst(2)) : text
            return UInt16(digits, radix: 8).flatMap { $0 <= 0o7777 ? $0 : nil }
        }
    }

    func signal(_ key: String) throws(SupervisorError) -> Signal? {
        try value(key, "a signal such as TERM or QUIT") { Signal(name: SupervisorConfiguration.stripped($0)) }
    }

    /// The text as a name of a program, group or process, without blanks around it.
    func name(_ text: String, _ key: String) throws(SupervisorError) -> String {
        let name = SupervisorConfiguration.stripped(text)
        guard !name.isEmpty, !name.contains(where: { " :/".contains($0) }) else {
            throw failure(key, "\(text): expected a name without blank, colon and slash")
        }
        return name
    }
}
