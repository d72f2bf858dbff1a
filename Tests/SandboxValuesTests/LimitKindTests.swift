import Foundation
import Glibc
import Testing

@testable import SandboxValues

/// The table of limits.
@Suite struct LimitKindTests {
    private let ram = ByteCount(8 << 30)

    private func resolve(_ limits: Limits) -> ResolvedLimits { ResolvedLimits(limits, memory: ram) { $0 } }

    private func sample(_ kind: LimitKind) throws -> Limits {
        var limits = Limits()
        let ofThisMachine: [LimitKind: String] = [.cpuset: "0-1", .ioMax: "8:0:rbps=1G"]
        try kind.parse(try #require(kind.sample ?? ofThisMachine[kind]), &limits)
        return resolve(limits).values
    }

    /// The limits in the report, and back.
    private struct Figures: Codable {
        var limits = Limits()

        init(_ limits: Limits) { self.limits = limits }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: NameKey.self)
            for kind in LimitKind.all { kind.decode(container, into: &limits) }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: NameKey.self)
            for kind in LimitKind.all { try kind.encode(limits, to: &container) }
        }
    }

    private func json(_ limits: Limits) throws -> [String: Any] {
        let data = try JSONEncoder().encode(Figures(limits))
        return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    private func limitsRead(from json: [String: Any]) throws -> Limits {
        try JSONDecoder().decode(Figures.self, from: try JSONSerialization.data(withJSONObject: json)).limits
    }

    @Test func bothOrdersHaveEveryKind() {
        #expect(Set(LimitKind.all) == Set(LimitKind.inOrderOfWriting))
        #expect(LimitKind.all.count == LimitKind.inOrderOfWriting.count)
    }

    @Test func namesAreUnlike() {
        for names in [
            LimitKind.all.map(\.option), LimitKind.all.map(\.file), LimitKind.all.map(\.reportKey),
            LimitKind.all.flatMap(\.directiveNames),
        ] { #expect(Set(names).count == names.count, "\(names)") }
        for kind in LimitKind.all { #expect(LimitKind.named(kind.option) == kind) }
        #expect(LimitKind.named("memory") == nil && LimitKind.named("") == nil)
    }

    /// A kind of limit that is not given is nowhere.
    @Test(arguments: LimitKind.all) func nothingComesOfNothing(_ kind: LimitKind) throws {
        let limits = Limits()
        #expect(kind.kernelTexts(limits).isEmpty && kind.busProperties(limits).isEmpty)
        #expect(try kind.legacyValues(limits).isEmpty && kind.directives(limits).isEmpty)
        #expect(try json(limits)[kind.reportKey] is NSNull && kind.origin(limits) == nil)
        #expect(limits.kinds.isEmpty && limits.controllers.isEmpty)
    }

    /// What is given is everywhere, under the names of its row.
    @Test(arguments: LimitKind.all) func aSampleIsEverywhere(_ kind: LimitKind) throws {
        let limits = try sample(kind)
        #expect(!kind.kernelTexts(limits).isEmpty && !kind.busProperties(limits).isEmpty)
        #expect(Set(kind.directives(limits).map(\.name)).isSubset(of: kind.directiveNames))
        #expect(!kind.directives(limits).isEmpty)
        #expect(limits.kinds.contains(kind) && limits.controllers.contains(kind.controller))
        let isRefused = kind == .memoryHigh || kind == .swapMax
        if !isRefused { #expect(try !kind.legacyValues(limits).isEmpty) }
    }

    /// The report says what the kernel was told.
    @Test(arguments: LimitKind.all) func reportsAreReadBack(_ kind: LimitKind) throws {
        let limits = try sample(kind)
        #expect(try limitsRead(from: json(limits)) == limits)
        // What is no figure of this kind is no limit, and what is not there is none either.
        #expect(try limitsRead(from: [kind.reportKey: "?"]) == Limits())
    }

    @Test func aMemoryLimitAsksForTheSwapThatItPins() {
        var limits = Limits()
        limits.memoryMax = .value(.bytes(1 << 20))
        let pinned = resolve(limits)
        #expect(pinned.values.swapMax == .value(.bytes(0)) && pinned.name(of: .swapMax).flag == "--mem")
        limits.swapMax = .max
        let given = resolve(limits)
        #expect(
            given.values == limits && given.name(of: .swapMax).flag == "--swap"
                && given.name(of: .memoryMax).flag == "--mem")
    }

    /// Shares become bytes when a job is launched; a unit keeps them, for the machine that reads it.
    @Test func sharesAreOfTheMachineInQuestion() throws {
        var limits = Limits()
        try LimitKind.memoryMax.parse("50%", &limits)
        #expect(LimitKind.memoryMax.directives(limits).map(\.value) == ["50%"])
        let resolved = resolve(limits)
        #expect(LimitKind.memoryMax.kernelTexts(resolved.values) == [String(UInt64(4) << 30)])
        #expect(try json(resolved.values)["memory_max_bytes"] as? UInt64 == 4 << 30)
        #expect(LimitKind.all.filter { resolved.origin(of: $0) != nil } == [.memoryMax])
        #expect(resolved.origin(of: .memoryMax) == "50% of RAM")
    }

    @Test func aScopeHasRoomForItsHolder() {
        var limits = Limits()
        func scope() -> Limits { resolve(limits).adding(pids: 1, memory: ByteCount(100)).values }
        #expect(scope().pidsMax == nil && scope().memoryMax == nil && scope().memoryHigh == nil)
        limits.pidsMax = .value(8)
        limits.memoryMax = .value(.bytes(1_000))
        limits.memoryHigh = .value(.bytes(UInt64.max - 1))
        #expect(scope().pidsMax == .value(9) && scope().memoryMax == .value(.bytes(1_100)))
        #expect(scope().memoryHigh == .max && scope().swapMax == .value(.bytes(0)), "swap is the job's alone")
        limits.pidsMax = .max
        limits.memoryMax = .max
        #expect(scope().pidsMax == .max && scope().memoryMax == .max)
    }

    @Test func whatOneDoesNotHave() throws {
        var limits = Limits()
        limits.swapMax = .value(.bytes(1))
        #expect(throws: LimitKind.LegacyRefusal.self) { try LimitKind.swapMax.legacyValues(limits) }
        limits.memoryMax = .value(.bytes(UInt64.max))
        #expect(
            try LimitKind.swapMax.legacyValues(limits).map(\.text) == [String(Int64.max)], "a sum beyond 64 bits")
        limits.memoryHigh = .value(.bytes(1))
        #expect(throws: LimitKind.LegacyRefusal.self) { try LimitKind.memoryHigh.legacyValues(limits) }
        limits.memoryHigh = .max
        #expect(try LimitKind.memoryHigh.legacyValues(limits).isEmpty)
    }
}

/// Numbers of signals, which the pure target cannot ask the C library for.
@Suite struct SignalTests {
    @Test func areThoseOfTheCLibrary() {
        let numbers: [(Signal, CInt)] = [
            (.hangUp, SIGHUP), (.interrupt, SIGINT), (.quit, SIGQUIT), (.abort, SIGABRT), (.kill, SIGKILL),
            (.terminate, SIGTERM), (.user1, SIGUSR1), (.user2, SIGUSR2), (.pipe, SIGPIPE), (.child, SIGCHLD),
            (.continue, SIGCONT), (.stop, SIGSTOP), (.terminalStop, SIGTSTP), (.terminalInput, SIGTTIN),
            (.terminalOutput, SIGTTOU), (.windowChange, SIGWINCH), (.fileTooLarge, SIGXFSZ),
        ]
        for (signal, number) in numbers { #expect(signal.rawValue == number, "\(signal)") }
        let names: [(String, CInt)] = [
            ("ILL", SIGILL), ("TRAP", SIGTRAP), ("BUS", SIGBUS), ("FPE", SIGFPE), ("SEGV", SIGSEGV),
            ("ALRM", SIGALRM), ("URG", SIGURG), ("XCPU", SIGXCPU), ("XFSZ", SIGXFSZ), ("VTALRM", SIGVTALRM),
            ("PROF", SIGPROF), ("IO", SIGIO), ("PWR", SIGPWR), ("SYS", SIGSYS),
        ]
        for (name, number) in names { #expect(Signal(name: name)?.rawValue == number, "\(name)") }
    }

    @Test func namesAndNumbersBelongTogether() {
        for number in 1...31 as ClosedRange<CInt> {
            let signal = Signal(rawValue: number)
            #expect(Signal(name: signal.description) == signal && Signal(name: String(number)) == signal)
        }
        #expect(Signal(name: "RTMIN+2")?.description == "SIGRTMIN+2")
        #expect(Signal(name: "SIGRTMAX") == nil && Signal(name: "32") == nil && Signal(name: "0") == nil)
    }
}
