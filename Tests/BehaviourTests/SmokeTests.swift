import TestSupport
import Testing

extension Behaviour {
    @Suite struct Smoke {
        @Test(arguments: Capability.expected)
        func machineOffersWhatTheTierExpects(_ option: String) {
            #expect(Capability.has(option))
        }

        @Test func runsACommandAndLeavesNothing() throws {
            let harness = try Harness()
            let outcome = try harness.cgrun("--", Programs.probe, "plant", "3")
            #expect(outcome.exitCode == 0)
            #expect(outcome.output == "planted 3\n")
            #expect(harness.marker.survivors.isEmpty)
            try harness.expectNothingLeft(within: Capability.usesSystemd ? .seconds(10) : .zero)
        }
    }
}
