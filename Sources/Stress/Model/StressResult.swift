package import CgroupSandbox

/// What came of a whole suite. Its JSON form is versioned by `schema`.
package struct StressResult: Sendable, Codable {
    package var schema = 1
    package var command: [String]
    /// Whether something was tried and nothing failed on the side that is judged: under cgrun, or bare if only that was
    /// tried.
    package var passed: Bool {
        let outcomes = scenarios.compactMap { $0[judgedSide]?.outcome }
        return failure == nil && !outcomes.contains(.failed) && outcomes.contains { $0 != .notTested }
    }
    package var scenarios: [Scenario] = []
    package var machine: Machine
    /// Why the suite could not make all of its trials; `nil` where it did.
    package var failure: String?
    /// How long the suite took.
    package var seconds = 0.0

    package struct Scenario: Sendable, Codable {
        package var trial: Trial
        package var name: String
        @Explicit package var bare: Finding?
        @Explicit package var cgrun: Finding?

        enum CodingKeys: String, CodingKey {
            case name, bare, cgrun
            case trial = "scenario"
        }

        package subscript(side: StressSide) -> Finding? {
            get { side == .bare ? bare : cgrun }
            set { if side == .bare { bare = newValue } else { cgrun = newValue } }
        }

        package init(_ trial: Trial) {
            self.trial = trial
            name = trial.title
        }
    }

    /// Where the suite ran.
    package struct Machine: Sendable, Equatable, Codable {
        package var kernel: String
        /// `unified` or `hybrid`.
        package var cgroups: String
        package var processors: Int
        package var cgrun: String

        package init(kernel: String, cgroups: String, processors: Int, cgrun: String) {
            self.kernel = kernel
            self.cgroups = cgroups
            self.processors = processors
            self.cgrun = cgrun
        }
    }

    package init(command: [String], machine: Machine) {
        self.command = command
        self.machine = machine
    }

    private var sides: [StressSide] { StressSide.allCases.filter { side in scenarios.contains { $0[side] != nil } } }
    private var judgedSide: StressSide { sides.contains(.cgrun) ? .cgrun : .bare }

    /// `under cgrun, 14 of 14 scenarios passed; bare, 5 of 14`.
    package var verdict: String {
        let texts = sides.reversed().map { side in
            let findings = scenarios.compactMap { $0[side] }.filter { $0.outcome != .notTested }
            let passed = findings.filter { $0.outcome != .failed }.count
            return "\(side.name), \(passed) of \(findings.count) scenarios passed"
        }
        let rest = failure == nil ? "" : "; the rest was not tried"
        return "\(passed ? "PASS" : "FAIL"): \(texts.joined(separator: "; "))\(rest)"
    }

    // MARK: JSON

    enum CodingKeys: String, CodingKey {
        case schema, command, scenarios, machine, failure, seconds, verdict
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        schema = try values.decode(Int.self, forKey: .schema)
        command = try values.decode([String].self, forKey: .command)
        scenarios = try values.decode([Scenario].self, forKey: .scenarios)
        machine = try values.decode(Machine.self, forKey: .machine)
        failure = try values.decode(String?.self, forKey: .failure)
        seconds = try values.decode(Double.self, forKey: .seconds)
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(schema, forKey: .schema)
        try values.encode(passed ? "passed" : "failed", forKey: .verdict)
        try values.encode(command, forKey: .command)
        try values.encode(scenarios, forKey: .scenarios)
        try values.encode(machine, forKey: .machine)
        try values.encode(failure, forKey: .failure)
        try values.encode(seconds, forKey: .seconds)
    }
}
