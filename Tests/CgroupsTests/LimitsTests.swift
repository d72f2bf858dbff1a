import LinuxSystem
import SandboxValues
import Testing

@testable import Cgroups

@Suite struct LimitsTests {
    private func limits(_ change: (inout Limits) throws -> Void) rethrows -> Limits {
        var limits = Limits()
        try change(&limits)
        return limits
    }

    private func lines(_ limits: Limits) throws -> [String] {
        try limits.resolved().settings.map { "\($0.controller.rawValue) \($0.file)=\($0.value) \($0.limit.flag)" }
    }

    @Test func noLimitsNeedNoControllers() throws {
        #expect(try Limits().resolved().settings.isEmpty)
        #expect(Limits().effectiveSwapMax == nil)
    }

    @Test func knowsWhereThisProcessMayRun() {
        #expect(CPUSet.ofThisProcess?.processors.isEmpty == false)
    }

    /// memory.high before memory.max: a job cannot be killed for want of the softer limit.
    @Test func areWrittenInOrder() throws {
        let all = try limits {
            $0.memoryMax = try Ceiling(parsing: "64M")
            $0.memoryHigh = try Ceiling(parsing: "32M")
            $0.swapMax = try Ceiling(parsing: "1M")
            $0.pidsMax = .value(32)
            $0.cpuMax = try Ceiling(parsingCores: "1.5")
            $0.cpuWeight = try CPUWeight(parsing: "50")
            $0.cpuset = try CPUSet(parsing: "0-1")
        }
        #expect(
            try lines(all) == [
                "cpu cpu.weight=50 --cpu-weight",
                "cpu cpu.max=150000 100000 --cpu",
                "cpuset cpuset.cpus=0-1 --cpuset",
                "memory memory.high=33554432 --mem-high",
                "memory memory.max=67108864 --mem",
                "memory memory.swap.max=1048576 --swap",
                "pids pids.max=32 --pids",
            ])
    }

    @Test func aMemoryLimitPinsSwap() throws {
        let pinned = try limits { $0.memoryMax = try Ceiling(parsing: "64M") }
        #expect(try lines(pinned) == ["memory memory.max=67108864 --mem", "memory memory.swap.max=0 --mem"])
        #expect(pinned.effectiveSwapMax == .value(.bytes(0)))
    }

    @Test func aGivenSwapIsTaken() throws {
        let given = try limits {
            $0.memoryMax = try Ceiling(parsing: "64M")
            $0.swapMax = .max
        }
        #expect(try lines(given).last == "memory memory.swap.max=max --swap")
        let alone = try limits { $0.swapMax = try Ceiling(parsing: "0", zeroAllowed: true) }
        #expect(try lines(alone) == ["memory memory.swap.max=0 --swap"])
    }

    /// `--mem max` asks for accounting; it limits nothing, and so there is nothing to evade into swap.
    @Test func noMemoryLimitPinsNothing() throws {
        let unlimited = limits { $0.memoryMax = .max }
        #expect(try lines(unlimited) == ["memory memory.max=max --mem"])
        let high = limits { $0.memoryHigh = .value(.bytes(1 << 20)) }
        #expect(try lines(high) == ["memory memory.high=1048576 --mem-high"])
    }

    @Test func maxIsWrittenAsSuch() throws {
        let all = limits {
            $0.memoryMax = .max
            $0.memoryHigh = .max
            $0.swapMax = .max
            $0.pidsMax = .max
            $0.cpuMax = .max
        }
        #expect(try all.resolved().settings.map(\.value) == ["max 100000", "max", "max", "max", "max"])
    }
}

@Suite struct JobNameTests {
    @Test func areUnlike() {
        let names = (0..<1_000).map { _ in JobName.make() }
        #expect(Set(names.map(\.cgroup)).count == 1_000)
        #expect(names.allSatisfy { $0.cgroup == "cgrun-" + $0.id && JobName.isJob($0.cgroup) })
    }

    @Test func areToldFromOthers() {
        #expect(JobName.isJob("cgrun-0123456789abcdef"))
        for name in [
            "cgrun-leaf", "cgrun-", "cgrun", "", "cgrun-0123456789abcde", "cgrun-0123456789abcdef0",
            "cgrun-0123456789ABCDEF", "cgrun-0123456789abcdeg", "cgrun-0123456789abcde\u{0661}",
            "xcgrun-0123456789abcdef",
            "cgrun-0123456789abcdef.scope", "crun-0123456789abcdef", "cgrun_0123456789abcdef",
            "cgrun-test-0123456789ab",
        ] {
            #expect(!JobName.isJob(name), "\(name)")
        }
    }
}
