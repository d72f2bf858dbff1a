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
        let file =
            configuration.value(section, key)?.file ?? configuration.section(section)?.file ?? ""
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

    func flag(_ key: String, default value: Bool) throws(SupervisorError) -> Bool {
        guard let text = try text(key) else { return value }
        switch text.lowercased() {
        case "yes", "true", "on", "1": return true
        case "no", "false", "off", "0": return false
        default: throw failure(key, "\(text): expected true or false")
        }
    }

    func integer(_ key: String, default value: Int, in range: ClosedRange<Int> = 0...Int(Int32.max))
        throws(SupervisorError) -> Int
    {
        guard let text = try text(key) else { return value }
        guard let number = Int(text), range.contains(number) else {
            throw failure(key, "\(text): expected a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// A size in bytes, read from a number, or from a number with KB, MB or GB behind it.
    func size(_ key: String, default value: Int) throws(SupervisorError) -> Int {
        guard let text = try text(key) else { return value }
        let lower = text.lowercased()
        let factors = ["kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30]
        let factor = factors.first { lower.hasSuffix($0.key) }
        let digits = SupervisorConfiguration.stripped(factor == nil ? lower : String(lower.dropLast(2)))
        guard let number = Int(digits), number >= 0 else {
            throw failure(key, "\(text): expected bytes, or a number with KB, MB or GB")
        }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: factor?.value ?? 1)
        guard !overflow else { throw failure(key, "\(text): too large") }
        return bytes
    }

    /// A file mode or mask, read from octal digits.
    func mode(_ key: String) throws(SupervisorError) -> UInt16? {
        guard let text = try text(key) else { return nil }
        let digits = text.hasPrefix("0o") || text.hasPrefix("0O") ? String(text.dropFirst(2)) : text
        guard let mode = UInt16(digits, radix: 8), mode <= 0o7777 else {
            throw failure(key, "\(text): expected octal digits such as 022")
        }
        return mode
    }

    func signal(_ key: String, default value: Signal) throws(SupervisorError) -> Signal {
        guard let text = try text(key) else { return value }
        guard let signal = Signal(name: SupervisorConfiguration.stripped(text)) else {
            throw failure(key, "\(text): expected a signal such as TERM or QUIT")
        }
        return signal
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
