/// Finds the name that somebody may have meant.
enum NearestName {
    /// - Returns: `nil` where none is near.
    static func of(_ text: String, among names: some Sequence<String>) -> String? {
        let found = names.map { (name: $0, distance: distance(Array(text), Array($0))) }
            .min { ($0.distance, $0.name) < ($1.distance, $1.name) }
        guard let found, found.distance <= max(1, text.count / 3) else { return nil }
        return found.name
    }

    /// How many letters have to be added, left out, replaced, or swapped with the next.
    private static func distance(_ a: [Character], _ b: [Character]) -> Int {
        var rows = [Array(0...b.count)]
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var best = min(row[j] + 1, rows[i][j + 1] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, rows[i - 1][j - 1] + 1) }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
