internal import SandboxValues

// What people read of a result.

extension StressResult {
    private var failedFindings: [(scenario: Scenario, side: StressSide, finding: Finding)] {
        scenarios.flatMap { scenario in
            StressSide.allCases.compactMap { side in
                scenario[side].flatMap { $0.outcome == .failed ? (scenario, side, $0) : nil }
            }
        }
    }

    // MARK: On a terminal

    /// The table in columns, what was left, and the verdict.
    package func lines(_ paint: (Finding.Outcome, String) -> String) -> [String] {
        let title = scenarios.map { "\($0.trial.rawValue.padded(to: 2))  \($0.name)".count }.max() ?? 0
        var lines: [String] = []
        for scenario in scenarios {
            let name = "\(scenario.trial.rawValue.padded(to: 2))  \(scenario.name)"
            for (index, side) in StressSide.allCases.filter({ scenario[$0] != nil }).enumerated() {
                guard let finding = scenario[side] else { continue }
                let start = (index == 0 ? name : "").padded(to: title + 2)
                let outcome = paint(finding.outcome, finding.outcome.word.padded(to: 10))
                lines.append("\(start)\(side.name.padded(to: 11))  \(outcome)  \(finding.detail.inOneLine)")
            }
        }
        for (scenario, side, finding) in failedFindings {
            guard !finding.left.isEmpty || finding.remedy != nil else { continue }
            lines += ["", "\(scenario.trial.rawValue) \(scenario.name), \(side.name):"]
            lines += finding.listed.map { "  \($0.inOneLine)" }
            if let remedy = finding.remedy { lines.append("  → \(remedy.inOneLine)") }
        }
        return lines + ["", verdict]
    }

    // MARK: Markdown

    package var markdown: String {
        var lines = [
            "**\(verdict)**", "", "`\(CommandWords.shown(command).inOneLine)`", "",
            "| | scenario | bare | under cgrun |", "|---|---|---|---|",
        ]
        for scenario in scenarios {
            let cells = [scenario.bare, scenario.cgrun].map { finding in
                finding.map { finding in
                    let outcome = finding.outcome.word
                    return "\(finding.outcome == .failed ? "**\(outcome)**" : outcome): \(finding.detail.inTable)"
                } ?? "—"
            }
            lines.append("| \(scenario.trial.rawValue) | \(scenario.name) | \(cells[0]) | \(cells[1]) |")
        }
        let failures = failedFindings.filter { !$0.finding.left.isEmpty || $0.finding.remedy != nil }
        if !failures.isEmpty {
            lines += ["", "| failed | what was left | what helps |", "|---|---|---|"]
            for (scenario, side, finding) in failures {
                let left = finding.listed.map(\.inTable).joined(separator: "<br>")
                let remedy = finding.remedy?.inTable ?? ""
                lines.append("| \(scenario.trial.rawValue), \(side.name) | \(left) | \(remedy) |")
            }
        }
        lines += [
            "",
            "cgrun \(machine.cgrun), Linux \(machine.kernel), cgroups: \(machine.cgroups), "
                + "\(machine.processors) processors, \(Int(seconds.rounded()))s",
        ]
        return lines.joined(separator: "\n") + "\n"
    }
}

extension Finding {
    private static let mostListed = 8

    /// The processes that are left, in lines; not all of a great many.
    fileprivate var listed: [String] {
        let more = left.count - Self.mostListed
        return left.prefix(Self.mostListed).map(\.line) + (more > 0 ? ["… and \(more) more"] : [])
    }
}

extension Finding.Outcome {
    package var word: String {
        switch self {
        case .passed: "pass"
        case .failed: "FAIL"
        case .knownLimit: "limit"
        case .notTested: "not tested"
        }
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }

    /// The text in a cell of a table.
    fileprivate var inTable: String { inOneLine.replacing("|", with: "\\|") }
}
