import TestSupport
import Testing

/// Everything that runs the built programs, one test at a time: leaks are counted, and moments matter.
@Suite(.serialized, .leavesNothing) enum Behaviour {}

/// Fails each test that leaves something behind, however it ended, and lets the next one start clean.
struct LeavesNothing: SuiteTrait, TestTrait, TestScoping {
    var isRecursive: Bool { true }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let leftovers = Leftovers(of: .ofAnyTest)
        defer {
            do { try leftovers.expectNone() } catch { Issue.record(error) }
        }
        try await function()
    }
}

extension Trait where Self == LeavesNothing {
    static var leavesNothing: Self { LeavesNothing() }
}
