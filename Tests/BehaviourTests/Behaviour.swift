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
        try await Watchdog.watch("\(test.name)", function)
    }
}

extension Trait where Self == LeavesNothing {
    static var leavesNothing: Self { LeavesNothing() }
}

extension Trait where Self == ConditionTrait {
    /// For what needs no controllers: real machines show it in a fraction of the time that an emulated one takes.
    static var onRealMachines: Self {
        .enabled(if: patience == 1, "needs no controllers, and takes long on an emulated machine")
    }

    /// For what waits for seconds, and is the same with every manager and user.
    static var once: Self { .enabled(if: !Capability.isBooted, "waits for long, and is the same everywhere") }
}
