/// A property of a unit, with the type that it has on the manager's bus.
public struct UnitProperty: Sendable, Equatable {
    /// A value with its type on the bus.
    public enum Value: Sendable, Equatable {
        /// `s`: a line. What a line cannot hold is shown as an escape.
        case string(String)
        /// `b`.
        case bool(Bool)
        /// `i`.
        case int32(Int32)
        /// `u`.
        case uint32(UInt32)
        /// `t`.
        case uint64(UInt64)
        /// `as`: lines. What a line cannot hold is shown as an escape.
        case strings([String])
        /// `ay`.
        case bytes([UInt8])
        /// `a(st)`: numbers for devices, which are named by a path.
        case devices([Device])
        /// `au`, of process numbers.
        case pids([Int32])
        /// `ah`: open files that are sent along.
        case descriptors([CInt])
        /// `a(sasas)`: the path of a program, and its words, of which the first is what it is called.
        case command(path: String, words: [String])

        /// A number for a device.
        public struct Device: Sendable, Equatable {
            /// The path of the device, or of anything on it.
            public var path: String
            /// The number.
            public var number: UInt64

            /// A number for the device that this path is of or on.
            public init(path: String, number: UInt64) {
                self.path = path
                self.number = number
            }
        }

        var signature: String {
            switch self {
            case .string: "s"
            case .bool: "b"
            case .int32: "i"
            case .uint32: "u"
            case .uint64: "t"
            case .strings: "as"
            case .bytes: "ay"
            case .devices: "a(st)"
            case .pids: "au"
            case .descriptors: "ah"
            case .command: "a(sasas)"
            }
        }
    }

    /// Its name in `systemd.directives(7)`, or a name that exists only on the bus, such as `PIDFDs`.
    public var name: String
    /// Its value.
    public var value: Value

    /// A property and its value. The manager decides when the scope is started whether there is such a property.
    public init(_ name: String, _ value: Value) {
        self.name = name
        self.value = value
    }
}

extension UnitProperty: CustomStringConvertible {
    public var description: String { "\(name)=\(value)" }
}

extension UnitProperty.Value: CustomStringConvertible {
    public var description: String {
        switch self {
        case .string(let text):
            if text.contains(" ") { "\"\(UnitProperty.line(text))\"" } else { UnitProperty.line(text) }
        case .bool(let flag): flag ? "yes" : "no"
        case .int32(let number): "\(number)"
        case .uint32(let number): "\(number)"
        case .uint64(let number): number == .max ? "infinity" : "\(number)"
        case .strings(let texts): texts.map(UnitProperty.line).joined(separator: ",")
        case .bytes(let bytes): "0x" + bytes.reversed().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        case .devices(let devices):
            devices.map { "\($0.path) \($0.number == .max ? "infinity" : "\($0.number)")" }.joined(separator: ",")
        // Which processes and descriptors these are is not known before they exist.
        case .pids, .descriptors: "…"
        case .command(let path, let words): ([path] + words.dropFirst()).map(UnitProperty.line).joined(separator: " ")
        }
    }
}
