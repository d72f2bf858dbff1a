internal import SandboxValues

/// By how much values grow from one to the next, as a straight line by least squares tells.
struct Slope: Equatable {
    /// A step of the line.
    let estimate: Double
    /// How far the true step may be from it, in 95 of 100 cases.
    let uncertainty: Double

    static let leastValues = 4

    /// - Returns: `nil` for less than `leastValues`.
    init?(_ values: [Double]) {
        guard values.count >= Self.leastValues else { return nil }
        let count = Double(values.count)
        let middle = (count - 1) / 2
        let mean = values.reduce(0, +) / count
        let spread = values.indices.reduce(0.0) { $0 + (Double($1) - middle) * (Double($1) - middle) }
        let step = values.indices.reduce(0.0) { $0 + (Double($1) - middle) * (values[$1] - mean) } / spread
        let errors = values.indices.reduce(0.0) { sum, index in
            let error = values[index] - mean - step * (Double(index) - middle)
            return sum + error * error
        }
        estimate = step
        uncertainty = Self.quantile(values.count - 2) * (errors / (count - 2) / spread).squareRoot()
    }

    /// The 0.975 quantile of Student's t.
    private static func quantile(_ degrees: Int) -> Double {
        let table = [12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228]
        return degrees <= table.count ? table[degrees - 1] : 1.96 + 2.7 / Double(degrees)
    }

    /// Whether 0 is below the interval.
    var isGrowth: Bool { estimate - uncertainty > 0 }

    var text: String { "\(ByteCount(UInt64(max(0, estimate))))" }
}
