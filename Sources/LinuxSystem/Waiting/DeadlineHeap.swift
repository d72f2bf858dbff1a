/// Deadlines with the numbers of those who wait for them, the earliest first.
struct DeadlineHeap {
    struct Entry {
        var at: BootTime
        var id: UInt64
    }

    private var entries: [Entry] = []

    var first: Entry? { entries.first }
    var count: Int { entries.count }

    mutating func insert(_ entry: Entry) {
        entries.append(entry)
        var index = entries.count - 1
        while index > 0, entries[index].at < entries[(index - 1) / 2].at {
            entries.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    mutating func removeFirst() {
        guard let last = entries.popLast(), !entries.isEmpty else { return }
        entries[0] = last
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < entries.count {
                if entries[child].at < entries[least].at { least = child }
            }
            guard least != index else { return }
            entries.swapAt(index, least)
            index = least
        }
    }

    mutating func removeAll(where isStale: (Entry) -> Bool) {
        let kept = entries.filter { !isStale($0) }
        entries = []
        for entry in kept { insert(entry) }
    }
}
