import CgroupSandbox
import FoundationEssentials
import Glibc
import LinuxSystem
import SandboxValues
import SystemPackage
import TestSupport
import Testing

/// What a program may get wrong, and what may be wanting.
extension Behaviour.Jobs {
    @Test(.onRealMachines) func nonsenseIsRefusedWithTypedErrors() async throws {
        // The parents of cgroups with these limits stay open from the first use on.
        for limits in [Limits(), .memory, .pids] {
            var spec = try shell("true")
            spec.limits = limits
            _ = try? await run(spec, output: .discarded)
        }
        let before = openDescriptorCount
        func kind(_ spec: @autoclosure () throws(LaunchError) -> JobSpec) async -> LaunchError.Kind? {
            do throws(LaunchError) {
                _ = try await run(spec(), output: .string(limit: .max), error: .bytes(limit: .min))
                return nil
            } catch { return error.kind }
        }
        func spec(_ change: (inout JobSpec) -> Void) throws(LaunchError) -> JobSpec {
            var spec = try JobSpec(.path("/bin/true"))
            change(&spec)
            return spec
        }
        #expect(await kind(JobSpec([])) == .invalid)
        #expect(await kind(try JobSpec(.name(""))) == .notFound)
        #expect(await kind(try JobSpec(.name("a\0b"))) == .invalid)
        #expect(await kind(try JobSpec(.name("true"), arguments: ["a\0b"])) == .invalid)
        #expect(await kind(try JobSpec(.name("true"), arguments: Arguments(bytes: [[0]]))) == .invalid)
        #expect(await kind(try JobSpec(.name("true"), environment: .custom(["a=b": "c"]))) == .invalid)
        #expect(await kind(try JobSpec(.name("true"), environment: .custom(["": "c"]))) == .invalid)
        #expect(await kind(try JobSpec(.name("true"), environment: .custom(["a": "\0"]))) == .invalid)
        #expect(await kind(try JobSpec(.name("no such command"))) == .notFound)
        #expect(await kind(try JobSpec(.path("/"))) == .notExecutable)
        #expect(await kind(try JobSpec(.path("nowhere/x"))) == .notFound)
        let large = Arguments(bytes: [[UInt8]](repeating: [UInt8](repeating: 1, count: 100_000), count: 100))
        #expect(await kind(try JobSpec(.path("/bin/true"), arguments: large)) == .notExecutable)
        #expect(await kind(try spec { $0.workingDirectory = "/no/such/directory" }) == .setup)
        #expect(await kind(try spec { $0.cgroupParent = "/no/such/cgroup" }) == .setup)
        #expect(await kind(try spec { $0.cgroupParent = "\0" }) == .setup)
        #expect(await kind(try spec { $0.limits.memoryMax = .value(.bytes(.max)) }) == .setup)
        for count in [.min, -2, 0, .max] {
            #expect(await kind(try spec { $0.limits.pidsMax = .value(count) }) == .invalid, "\(count)")
        }
        for processors: Set<Int> in [[], [-1], [.max]] {
            var cpuset = try CPUSet(parsing: "0")
            cpuset.processors = processors
            #expect(await kind(try spec { $0.limits.cpuset = cpuset }) == .invalid, "\(processors)")
        }
        let tiny = await kind(try spec { $0.limits.memoryMax = .value(.bytes(0)) })
        #expect(tiny == nil || tiny == .setup || tiny == .notExecutable)
        #expect(await kind(try spec { $0.timeout = .seconds(Int64.max) }) == nil)
        #expect(await kind(try spec { $0.timeout = .seconds(Int64.min) }) == nil)
        #expect(await kind(try spec { $0.cpuTimeout = .zero }) == nil)
        #expect(await kind(try spec { $0.grace = .seconds(-5) }) == nil)
        #expect(await kind(try spec { $0.stopSignal = Signal(rawValue: 999) }) == nil)
        #expect(await kind(try spec { $0.environment = ["no assignment", "="] }) == nil)
        #expect(await kind(try JobSpec(.path("/bin/true"), arguments: Arguments(bytes: [[0xff, 0xfe]]))) == nil)
        // The loop's timer serves all jobs, and this one needs it: its tree outlives its command.
        let later = try await run(shell("sleep 100 & exit 0"), output: .discarded)
        #expect(later.report.straysKilled)
        let closed = FileDescriptor(rawValue: 987)
        await #expect(throws: LaunchError.self) {
            try await run(shell("true"), input: .fileDescriptor(closed), output: .discarded)
        }
        await #expect(throws: LaunchError.self) {
            try await run(
                shell("true"),
                output: .fileDescriptor(FileDescriptor(rawValue: -1), closeAfterSpawningProcess: true))
        }
        let job = try Job.start(shell("sleep 100"))
        #expect(throws: SystemError.self) { try job.signal(Signal(rawValue: 12_345)) }
        #expect(throws: SystemError.self) { try job.signal(Signal(rawValue: -1)) }
        await #expect(throws: SystemError.self) { try await job.write([1]) }
        job.finishInput()
        for await _ in job.standardOutput { Issue.record("output of a job without") }
        job.kill()
        _ = await job.waitForEnd()
        #expect(openDescriptorCount == before, "\(openDescriptors)")
        try expectNothingLeft()
    }

    @Test func wantOfDescriptorsIsAnErrorAndPasses() async throws {
        let warm = try await run(shell("true"), output: .discarded)
        #expect(warm.isSuccess)
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(7), &limit)
        var low = limit
        low.rlim_cur = rlim_t(openDescriptorCount + 8)
        setrlimit(__rlimit_resource_t(7), &low)
        defer { setrlimit(__rlimit_resource_t(7), &limit) }
        let job = try Job.start(shell("sleep 100"))
        var failures = 0
        var holders: [CInt] = []
        while true {
            let copy = dup(0)
            if copy < 0 { break }
            holders.append(copy)
        }
        // Handed over, it is closed even so.
        let given = holders.removeLast()
        #expect(throws: LaunchError.self) {
            try Job.start(
                shell("true"),
                input: .fileDescriptor(FileDescriptor(rawValue: given), closeAfterSpawningProcess: true),
                output: .captured(limit: 1))
        }
        #expect(!isOpen(given))
        for holder in holders {
            do { _ = try await run(shell("true"), output: .string(limit: 1)) } catch is LaunchError {
                failures += 1
            }
            close(holder)
        }
        #expect(failures > 0)
        setrlimit(__rlimit_resource_t(7), &limit)
        #expect(try await run(shell("true"), output: .discarded).isSuccess)
        job.kill()
        _ = await job.waitForEnd()
        try expectNothingLeft()
    }
}

private var openDescriptors: [String] {
    (0..<200).compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)") }
}

extension Limits {
    fileprivate static var memory: Limits {
        var limits = Limits()
        limits.memoryMax = .value(.bytes(1 << 30))
        return limits
    }
    fileprivate static var pids: Limits {
        var limits = Limits()
        limits.pidsMax = .value(100)
        return limits
    }
}
