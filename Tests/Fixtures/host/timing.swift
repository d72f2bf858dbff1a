import CgroupSandbox
import Glibc
import LinuxSystem

/// `posix_spawn` and `waitpid` of `true`: what every way of starting it has to pay.
func spawnPlainly() throws {
    var pid: pid_t = 0
    var words: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
    defer { free(words[0]) }
    guard posix_spawn(&pid, "/bin/true", nil, nil, &words, environ) == 0 else { throw Usage() }
    var status: CInt = 0
    waitpid(pid, &status, 0)
}

private func median(_ times: [Duration]) -> Double {
    let sorted = times.sorted()
    return Double(sorted[sorted.count / 2].nanoseconds) / 1_000
}

private func measured(_ body: () async throws -> Void) async rethrows -> Duration {
    let start = ContinuousClock.now
    try await body()
    return ContinuousClock.now - start
}

/// How long a job takes when so many are in the air.
private func throughput(_ count: Int, _ width: Int, _ body: @escaping @Sendable () async throws -> Void) async throws
    -> Double
{
    let whole = try await measured {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<width { group.addTask { try await body() } }
            for _ in width..<count {
                _ = try await group.next()
                group.addTask { try await body() }
            }
            try await group.waitForAll()
        }
    }
    return Double(whole.nanoseconds) / 1_000 / Double(count)
}

func timeEverything(_ rounds: Int) async throws {
    var plain: [Duration] = []
    var jobs: [Duration] = []
    for round in 0..<rounds + 50 {
        // In turns, since a machine's speed drifts.
        let first = try await measured { try spawnPlainly() }
        let second = try await measured { _ = try await run(spec("/bin/true"), output: .discarded) }
        guard round >= 50 else { continue }
        plain.append(first)
        jobs.append(second)
    }
    say("sequential posix_spawn \(median(plain))")
    say("sequential job \(median(jobs))")
    say("at50 posix_spawn \(try await throughput(rounds, 50) { try spawnPlainly() })")
    say("at50 job \(try await throughput(rounds, 50) { _ = try await run(spec("/bin/true"), output: .discarded) })")

    var sleeping: [Job] = []
    for live in [1, 1_000] {
        while sleeping.count < live { sleeping.append(try Job.start(spec("/bin/sleep", "1000"))) }
        (plain, jobs) = ([], [])
        for _ in 0..<rounds {
            plain.append(try await measured { try spawnPlainly() })
            jobs.append(try await measured { _ = try await run(spec("/bin/true"), output: .discarded) })
        }
        say("beside\(live) posix_spawn \(median(plain))")
        say("beside\(live) job \(median(jobs))")
    }
    for job in sleeping { job.kill() }
    for job in sleeping { _ = await job.waitForEnd() }
}
