// A program that runs jobs by the library, for tests that kill it, count what it holds, or time it.
//
//   cgrun-host sleep COUNT              starts COUNT sleeping jobs, says "ready …", and waits
//   cgrun-host sequence COUNT           COUNT jobs, one after the other
//   cgrun-host churn COUNT WIDTH        COUNT jobs, WIDTH at a time, most of them cancelled at random moments
//   cgrun-host load WIDTH               jobs of all kinds for ever, WIDTH at a time
//   cgrun-host try WIDTH                jobs for ever, WIDTH at a time, long ones and short ones, refused or not: says
//                                       "long CAUSE" or "short CAUSE" of each, CAUSE being "refused …" where it is
//   cgrun-host deaf ignore|steal        one job, in a program that ignores SIGCHLD or waits for any child itself
//   cgrun-host nobody COMMAND…          one job as another user, on this program's standard streams
//   cgrun-host time ROUNDS              microseconds a job, in several ways
//   cgrun-host scope …                  the same from a scope of its own (with SCOPE_LIMITS, a limited one;
//                                       SCOPE_USER asks the user's manager for it, SCOPE_UNIT names it)

import CgroupSandbox
import Cgroups
import Glibc
import LinuxSystem
import SandboxValues
import SystemPackage
import SystemdBus

struct Usage: Error {}

/// What this process holds, as `name=value`.
func holdings() -> String {
    let status = (try? readTextFile("/proc/self/status")) ?? ""
    func field(_ name: String) -> String {
        let line = status.split(separator: "\n").first { $0.hasPrefix(name + ":") }
        return line.map { $0.dropFirst(name.count + 1).filter(\.isNumber) } ?? "?"
    }
    var descriptors = -1  // the one that counts them
    if let directory = opendir("/proc/self/fd") {
        while let entry = readdir(directory) {
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { descriptors += 1 }
        }
        closedir(directory)
    }
    return "descriptors=\(descriptors) threads=\(field("Threads")) rss=\(field("VmRSS"))"
}

func say(_ text: String) {
    print(text)
    fflush(nil)
}

func raiseDescriptorLimit() {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(7), &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(7), &limit)
}

func limits() -> Limits {
    var limits = Limits()
    guard ThisProcess.environmentVariable("HOST_LIMITS") != nil else { return limits }
    limits.memoryMax = .value(.bytes(64 << 20))
    limits.pidsMax = .value(64)
    return limits
}

func spec(_ words: String...) -> JobSpec {
    var spec = JobSpec(words.map { ByteString($0.utf8)! })
    spec.limits = limits()
    return spec
}

func sleepForEver() async { try? await Task.sleep(for: .seconds(1_000_000)) }

func sleepers(_ count: Int) async throws {
    var jobs: [Job] = []
    for _ in 0..<count { jobs.append(try Job.start(spec("sleep", "1000000"))) }
    say("ready \(holdings())")
    await sleepForEver()
    _ = consume jobs
}

func sequence(_ count: Int) async throws {
    for round in 1...count {
        let result = try await run(spec("true"), output: .discarded)
        guard result.isSuccess else { throw Usage() }
        if round.isMultiple(of: max(1, count / 10)) { say("\(round) \(holdings())") }
    }
}

/// One job of many kinds, cancelled at some moment or not at all.
func one() async throws {
    let kind = Int.random(in: 0..<5)
    let task = Task { () throws(LaunchError) -> Report in
        switch kind {
        case 0: try await run(spec("true"), output: .discarded).report
        case 1: try await run(spec("sh", "-c", "echo x; sleep 100 & sleep 1"), output: .string(limit: 10)).report
        case 2: try await run(spec("sh", "-c", "trap '' TERM; sleep 100 & sleep 0.02"), output: .discarded).report
        case 3: try await run(spec("cat"), input: .string("y"), output: .bytes(limit: 1)).report
        default: try await run(spec("sleep", "0.01"), output: .discarded).report
        }
    }
    try? await Task.sleep(for: .microseconds(Int.random(in: 0...8_000)))
    if kind != 0 || Bool.random() { task.cancel() }
    do { _ = try await task.value } catch let error as LaunchError where error.kind == .cancelled {}
}

func churn(_ count: Int, _ width: Int) async throws {
    var left = count
    try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<width { group.addTask { try await one() } }
        left -= width
        while try await group.next() != nil {
            if left > 0 {
                left -= 1
                group.addTask { try await one() }
                if left.isMultiple(of: max(1, count / 10)) { say("\(count - left) \(holdings())") }
            }
        }
    }
    say("\(count) \(holdings())")
}

/// Every other job would sleep for ever.
func attempts(_ width: Int) async {
    await withTaskGroup(of: Void.self) { group in
        for worker in 0..<width {
            group.addTask {
                let (kind, words) = worker.isMultiple(of: 2) ? ("long", ["sleep", "1000000"]) : ("short", ["true"])
                while true {
                    do throws(LaunchError) {
                        var spec = JobSpec(words.map { ByteString($0.utf8)! })
                        spec.cgroupParent = ThisProcess.environmentVariable("HOST_PARENT")
                        say("\(kind) \(try await run(spec, output: .discarded).report.cause.rawValue)")
                    } catch {
                        say("\(kind) refused \(error.message)")
                        try? await Task.sleep(for: .milliseconds(5))
                    }
                }
            }
        }
    }
}

/// Programs that this one would share a process with, and what they do about children.
func deaf(_ how: String) async throws {
    if how == "ignore" {
        signal(SIGCHLD, SIG_IGN)
    } else {
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { _ in
                while true { if waitpid(-1, nil, 0) < 0 { usleep(100) } }
            }, nil)
    }
    for code in 0..<20 {
        let result = try await run(spec("sh", "-c", "exit \(code)"), output: .discarded)
        say("\(result.terminationStatus.map { "\($0)" } ?? "unknown") \(result.report.cause.rawValue)")
    }
}

func asNobody(_ words: [String]) async throws {
    var spec = JobSpec(words.map { ByteString($0.utf8)! })
    spec.credentials = Credentials(uid: 65_534, gid: 65_534, supplementaryGroups: [])
    let result = try await run(
        spec, input: .fileDescriptor(.standardInput), output: .fileDescriptor(.standardOutput),
        error: .fileDescriptor(.standardError))
    guard result.isSuccess else { throw Usage() }
}

func enterScope() {
    var options = UnitOptions()
    if ThisProcess.environmentVariable("SCOPE_USER") != nil { options.domain = .user }
    options.name = ThisProcess.environmentVariable("SCOPE_UNIT")
    var limits = Limits()
    if ThisProcess.environmentVariable("SCOPE_LIMITS") != nil {
        limits.memoryMax = .value(.bytes(256 << 20))
        limits.pidsMax = .value(100)
    }
    do {
        let scope = try HostScope.enter(options, limits: limits)
        say("scope \(scope.unit ?? "-") \(scope.programUnit ?? "-") \(scope.cgroup) \(scope.reason)")
    } catch {
        say("refused \(error.message)")
        exit(1)
    }
}

var words = CommandLine.arguments.dropFirst()
if words.first == "scope" {
    enterScope()
    words.removeFirst()
}
let numbers = words.dropFirst().compactMap { Int($0) }
raiseDescriptorLimit()
switch (words.first, numbers.count) {
case ("sleep", 1): try await sleepers(numbers[0])
case ("sequence", 1): try await sequence(numbers[0])
case ("churn", 2): try await churn(numbers[0], numbers[1])
case ("load", 1):
    say("ready \(holdings())")
    try await churn(.max, numbers[0])
case ("try", 1): await attempts(numbers[0])
case ("deaf", 0): try await deaf(words.last!)
case ("nobody", _): try await asNobody(Array(words.dropFirst()))
case ("time", 1): try await timeEverything(numbers[0])
default: throw Usage()
}
