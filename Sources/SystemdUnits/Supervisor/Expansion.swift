/// What `%(name)s` in supervisor's values stands for.
struct Expansions: Sendable {
    /// Text takes the format `s` alone; numbers take `d`, `x` and others, too.
    enum Value {
        case text(String)
        case number(Int)
    }

    /// The values by their names, such as `program_name` or `ENV_HOME`.
    var values: [String: Value] = [:]
    /// Looks a variable up for `%(ENV_X)s`, where no `environment=` of the configuration has set `X`.
    var environment: @Sendable (String) -> String? = { _ in nil }

    subscript(name: String) -> Value? {
        if let value = values[name] { return value }
        return name.hasPrefix("ENV_") ? environment(String(name.dropFirst(4))).map { .text($0) } : nil
    }

    /// What Python's `text % values` gives for the formats that occur: `%(name)s`, `%(name)02d`, `%%`.
    ///
    /// - Throws: for names without a value, for everything else that Python would refuse, and for formats without a
    ///   name such as `%s`.
    func expand(_ text: String) throws(ExpansionFailure) -> String {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return text }
        var result = String.UnicodeScalarView()
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            guard scalar == "%" else {
                result.append(scalar)
                continue
            }
            if rest.first == "%" {
                rest.removeFirst()
                result.append("%")
                continue
            }
            guard rest.first == "(", let close = rest.firstIndex(of: ")") else {
                throw ExpansionFailure(message: "expected %(name)s or %% where there is a single %")
            }
            let name = String(rest[rest.index(after: rest.startIndex)..<close])
            rest = rest[rest.index(after: close)...]
            result.append(contentsOf: try format(name, &rest).unicodeScalars)
        }
        return String(result)
    }

    /// The value of this name in the format that `rest` begins with, such as `02d`, which is taken off.
    private func format(
        _ name: String, _ rest: inout Substring.UnicodeScalarView
    ) throws(ExpansionFailure) -> String {
        guard let value = self[name] else {
            throw ExpansionFailure(message: "%(\(name))s is not known")
        }
        var flags: Set<Unicode.Scalar> = []
        while let flag = rest.first, "#0- +".unicodeScalars.contains(flag) {
            flags.insert(flag)
            rest.removeFirst()
        }
        var width = 0
        while let digit = rest.first, ("0"..."9").contains(digit), width < 1000 {
            width = width * 10 + Int(digit.value - 0x30)
            rest.removeFirst()
        }
        let conversion = rest.popFirst()
        var digits: String
        switch (conversion, value) {
        case ("s", .text(let text)): digits = text
        case ("s", .number(let number)): digits = String(number)
        case ("d", .number(let number)), ("i", .number(let number)), ("u", .number(let number)):
            digits = (number >= 0 && flags.contains("+") ? "+" : "") + String(number)
        case ("x", .number(let number)): digits = String(number, radix: 16)
        case ("X", .number(let number)): digits = String(number, radix: 16, uppercase: true)
        case ("o", .number(let number)): digits = String(number, radix: 8)
        default:
            let shown = conversion.map { String(Character($0)) } ?? ""
            throw ExpansionFailure(message: "%(\(name))\(shown) is no format for this value")
        }
        let padding = max(0, width - digits.unicodeScalars.count)
        if flags.contains("-") {
            digits += String(repeating: " ", count: padding)
        } else if flags.contains("0"), conversion != "s" {
            let sign = digits.first.map { $0 == "-" || $0 == "+" } == true ? String(digits.removeFirst()) : ""
            digits = sign + String(repeating: "0", count: padding) + digits
        } else {
            digits = String(repeating: " ", count: padding) + digits
        }
        return digits
    }
}

/// Why a value cannot be expanded or split into words. The caller knows which value of which key it was.
struct ExpansionFailure: Error {
    var message: String
}
