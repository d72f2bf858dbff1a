internal import SandboxValues

extension UnitProperty {
    /// Reads `KEY=VALUE` as `systemctl set-property` takes it, for keys of a scope that cgrun has no option for.
    ///
    /// - Throws: for a key that cgrun does not know or sets itself, and for a value that is not spelt as systemd spells
    ///   it.
    public init(assignment: String) throws(PropertySyntaxError) {
        guard let equals = assignment.firstIndex(of: "="), equals != assignment.startIndex else {
            throw PropertySyntaxError(accepted: "KEY=VALUE, such as OOMPolicy=kill")
        }
        let key = String(assignment[..<equals])
        let text = String(assignment[assignment.index(after: equals)...])
        let limit = LimitKind.all.first { $0.directiveNames.contains(key) }
        if let option = limit?.flag ?? Self.ownOptions[key] {
            throw PropertySyntaxError(accepted: "\(option) for this, which is read back, too")
        }
        if Self.reserved.contains(key) {
            throw PropertySyntaxError(accepted: "other keys: \(key) is what holds the job")
        }
        guard let kind = Self.kinds[key] else {
            throw PropertySyntaxError(accepted: "one of the keys " + Self.kinds.keys.sorted().joined(separator: " "))
        }
        self = try kind.property(key, text)
    }

    /// Keys, besides those of limits, that cgrun sets itself, and the options for them, which also check the outcome.
    private static let ownOptions = [
        "Slice": "--slice", "Description": "--description", "RuntimeMaxSec": "--timeout",
    ]

    /// Keys by which cgrun holds and ends the job.
    private static let reserved: Set = [
        "PIDs", "PIDFDs", "BindsTo", "Delegate", "DelegateControllers", "CollectMode", "KillMode", "SendSIGKILL",
        "Controller", "DelegateSubgroup", "KillSignal", "FinalKillSignal", "TimeoutStopSec",
    ]

    fileprivate enum Kind {
        case flag, bytes, weight, span, text, units, choice([String])
    }

    private static let kinds: [String: Kind] = [
        "CPUAccounting": .flag, "MemoryAccounting": .flag, "TasksAccounting": .flag, "IOAccounting": .flag,
        "IPAccounting": .flag, "DefaultDependencies": .flag, "RefuseManualStop": .flag, "SendSIGHUP": .flag,
        "MemoryMin": .bytes, "MemoryLow": .bytes, "MemoryZSwapMax": .bytes, "MemoryZSwapWriteback": .flag,
        "IOWeight": .weight, "StartupCPUWeight": .weight, "StartupIOWeight": .weight,
        "CPUQuotaPeriodSec": .span,
        "OOMPolicy": .choice(["continue", "stop", "kill"]),
        "ManagedOOMSwap": .choice(["auto", "kill"]), "ManagedOOMMemoryPressure": .choice(["auto", "kill"]),
        "ManagedOOMPreference": .choice(["none", "avoid", "omit"]),
        "DevicePolicy": .choice(["auto", "closed", "strict"]),
        "Documentation": .units, "After": .units, "Before": .units, "Wants": .units, "Requires": .units,
        "Requisite": .units, "PartOf": .units, "Conflicts": .units, "SourcePath": .text,
    ]
}

extension UnitProperty.Kind {
    fileprivate func property(_ key: String, _ text: String) throws(PropertySyntaxError) -> UnitProperty {
        switch self {
        case .flag: return UnitProperty(key, .bool(try Self.flag(text)))
        case .bytes:
            let bytes = try Self.number(
                text, [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40), ("", 1)],
                accepted: "bytes with K, M, G or T, or infinity")
            return UnitProperty(key, .uint64(bytes))
        case .weight:
            guard let weight = UInt64(text), (1...10_000).contains(weight) else {
                throw PropertySyntaxError(accepted: "a weight from 1 to 10000")
            }
            return UnitProperty(key, .uint64(weight))
        case .span:
            let microseconds = try Self.number(
                text,
                [
                    ("us", 1), ("ms", 1_000), ("min", 60_000_000), ("s", 1_000_000), ("h", 3_600_000_000),
                    ("d", 86_400_000_000), ("", 1_000_000),
                ], accepted: "a time such as 5s, 500ms, 2min or infinity")
            return UnitProperty(String(key.dropLast("Sec".count)) + "USec", .uint64(microseconds))
        case .text:
            guard UnitProperty.line(text) == text else {
                throw PropertySyntaxError(accepted: UnitProperty.acceptedText)
            }
            return UnitProperty(key, .string(text))
        case .units:
            let names = text.split { $0 == " " || $0 == "\t" }.map(String.init)
            guard !names.isEmpty, names.allSatisfy({ UnitProperty.line($0) == $0 }) else {
                throw PropertySyntaxError(accepted: "names separated by blanks, in one line")
            }
            return UnitProperty(key, .strings(names))
        case .choice(let words):
            guard words.contains(text) else { throw PropertySyntaxError(accepted: words.joined(separator: ", ")) }
            return UnitProperty(key, .string(text))
        }
    }

    private static func flag(_ text: String) throws(PropertySyntaxError) -> Bool {
        switch text.lowercased() {
        case "1", "yes", "y", "true", "t", "on": return true
        case "0", "no", "n", "false", "f", "off": return false
        default: throw PropertySyntaxError(accepted: "yes or no")
        }
    }

    /// - Parameter units: with their factors; the first that the text ends with counts.
    private static func number(
        _ text: String, _ units: [(ending: String, factor: UInt64)], accepted: String
    ) throws(PropertySyntaxError) -> UInt64 {
        if text == "infinity" { return .max }
        guard let unit = units.first(where: { text.hasSuffix($0.ending) }),
            let count = UInt64(text.dropLast(unit.ending.count)),
            case let (value, overflow) = count.multipliedReportingOverflow(by: unit.factor), !overflow
        else { throw PropertySyntaxError(accepted: accepted) }
        return value
    }
}
