internal import SandboxValues

/// Lines of `key count`, as `memory.events` and `cpu.stat` have them; in JSON, an object. They are kept in an array: in
/// a short run, to set up a dictionary's type costs more than to compare a few keys.
public struct EventCounts: Sendable {
    /// In the order of the file.
    public private(set) var entries: [Entry] = []

    /// One line.
    public struct Entry: Sendable, Equatable {
        /// The kernel's word: `oom_kill`.
        public var key: String
        /// The number in the line: how often, or how much.
        public var count: UInt64
    }

    /// No lines.
    public init() {}

    package init(_ entries: [(String, UInt64)]) {
        self.entries = entries.map { Entry(key: $0.0, count: $0.1) }
    }

    init(parsing text: String) {
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
            guard let blank = line.firstIndex(of: UInt8(ascii: " ")),
                let count = UInt64(Substring(line[line.index(after: blank)...]))
            else { continue }
            entries.append(Entry(key: String(Substring(line[..<blank])), count: count))
        }
    }

    mutating func add(_ others: EventCounts) {
        for index in entries.indices { entries[index].count += others[entries[index].key] ?? 0 }
    }

    /// The count of a key; `nil` where the kernel has no such line.
    public subscript(key: String) -> UInt64? { entries.first { $0.key == key }?.count }
}

extension EventCounts: Equatable {
    /// Compares keys and counts, whatever their order.
    public static func == (left: EventCounts, right: EventCounts) -> Bool {
        left.entries.count == right.entries.count && left.entries.allSatisfy { right[$0.key] == $0.count }
    }
}

extension EventCounts: ExpressibleByDictionaryLiteral {
    /// The lines that the literal lists.
    public init(dictionaryLiteral elements: (String, UInt64)...) { self.init(elements) }
}

extension EventCounts: Codable {
    /// From an object of numbers.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: NameKey.self)
        entries = try container.allKeys.map {
            Entry(key: $0.stringValue, count: try container.decode(UInt64.self, forKey: $0))
        }
    }

    /// To an object of numbers.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: NameKey.self)
        for entry in entries { try container.encode(entry.count, forKey: NameKey(stringValue: entry.key)) }
    }
}
