// How systemd writes limits in unit files.

extension Ceiling where Value == MemoryAmount {
    /// Bytes, with `K`, `M`, `G` or `T` where that is exact; a share of RAM in percent; `infinity` for no limit.
    package var unitText: String {
        switch value {
        case nil: return "infinity"
        case .share(let share): return percentText(share.hundredths)
        case .bytes(let bytes):
            for (shift, suffix) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] where bytes > 0 {
                if bytes & ((1 << UInt64(shift)) - 1) == 0 { return "\(bytes >> UInt64(shift))\(suffix)" }
            }
            return String(bytes)
        }
    }
}

extension Ceiling where Value == Int {
    /// A number; `infinity` for no limit.
    package var unitText: String { value.map { String($0) } ?? "infinity" }
}

extension Ceiling where Value == CPUBandwidth {
    /// Percent of one processor. systemd keeps hundredths of a percent; what is finer is rounded up,
    /// so that no quota becomes 0.
    package var unitText: String {
        guard let quota = value else { return "infinity" }
        let period = CPUBandwidth.periodMicroseconds
        return percentText((quota.quotaMicroseconds * 10_000 + period - 1) / period)
    }
}

/// `12.5%` for 1250 hundredths of a percent.
private func percentText(_ hundredths: UInt64) -> String {
    let (whole, rest) = hundredths.quotientAndRemainder(dividingBy: 100)
    guard rest > 0 else { return "\(whole)%" }
    let digits = rest % 10 == 0 ? "\(rest / 10)" : rest < 10 ? "0\(rest)" : "\(rest)"
    return "\(whole).\(digits)%"
}
