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
    /// Whether the option may be given more than once.
    package var isRepeatable = false
    /// How the kernel shows what was written.
    package var readBack = ReadBack.value
    /// Whether kernels without swap accounting lack this file. On a machine without swap that is no error, if the limit
    /// is 0.
    package var isMissingWithoutSwap = false

    /// Reads the option's value into the limits.
    package let parse: @Sendable (String, inout Limits) throws(LimitSyntaxError) -> Void
    /// What is written to `file`, one text for each write; none where this limit is not given. This closure takes the
    /// values of `ResolvedLimits`, and so do those below except `origin` and `directives`, which take the limits as
    /// they were given.
    package let kernelValues: @Sendable (Limits) -> [String]
    /// What the user gave, for messages, where it is not what is written: `50% of RAM`.
    package var origin: @Sendable (Limits) -> String? = { _ in nil }
    /// What is written to files of cgroup v1 instead, in this order.
    package let legacyValues: @Sendable (Limits) throws(LegacyRefusal) -> [LegacyValue]
    /// The limit as properties of a transient unit, on the bus.
    package let busProperties: @Sendable (Limits) -> [BusProperty]
    /// The limit as directives of a unit file, which may be read on another machine.
    package let directives: @Sendable (Limits) -> [Directive]
    /// The directives that `directives` may give, whatever the limits.
    package let directiveNames: [String]
    /// The name in the report's `limits`.
    package let reportKey: String
    /// The value in the report; `nil` for no limit.
    package let figure: @Sendable (Limits) -> Figure?
    /// Reads the value in the report.
    package let restore: @Sendable (Figure, inout Limits) -> Void
    /// Sets a limit that every machine with the controller can enforce, to find out whether this machine can.
    package let setSample: @Sendable (inout Limits, Sample) -> Void

    /// The option as it is typed: `--mem`.
    package var flag: String { "--" + option }
    package var name: LimitName { LimitName(description: noun, flag: flag) }

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

    package struct Directive: Sendable {
        package let name: String
        package let value: String
    }

    /// A number or a text, as JSON has them.
    package enum Figure: Sendable, Equatable {
        case integer(UInt64)
        case number(Double)
        case text(String)
        case devices([Device])

        /// The limits of one device.
        package struct Device: Sendable, Equatable {
            package var device: String
            /// Rates without a limit are left out.
            package var rates: [IOLimit.Rate: UInt64]

            package init(device: String, rates: [IOLimit.Rate: UInt64]) {
                self.device = device
                self.rates = rates
            }
        }
    }

    /// What samples need to know of the machine.
    package struct Sample: Sendable {
        package var processors: CPUSet?
        package var device: IOLimit.Device?

        package init(processors: CPUSet?, device: IOLimit.Device?) {
            self.processors = processors
            self.device = device
        }
    }

    package static func == (a: LimitKind, b: LimitKind) -> Bool { a.option == b.option }
    package func hash(into hasher: inout Hasher) { hasher.combine(option) }

    package static func named(_ option: some StringProtocol) -> LimitKind? { all.first { $0.option == option } }
}
