import CgroupSandbox
import Cgroups
import Glibc
import LinuxSystem
import SandboxValues

/// A way to run `true` and to wait for its end.
private struct Way: Sendable {
    let name: String
    let run: @Sendable () async throws -> Void
}

/// `posix_spawn` and `waitpid`: what every way of starting a program has to pay.
private func spawn(_ command: [String]) throws {
    var pid: pid_t = 0
    var words = command.map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    guard posix_spawn(&pid, command[0], nil, nil, &words, environ) == 0 else { throw Usage() }
    var status: CInt = 0
    waitpid(pid, &status, 0)
    guard status == 0 else { throw Usage() }
}

/// A cgroup with its limits, a process in it, and the end of both: what is left of a job without guard,
/// event loop, statistics and report.
private func runInCgroup(_ place: ParentCgroups) throws {
    let cgroup = try PlannedCgroup(place, name: JobName.make().cgroup, limits: limits().resolved()).create()
    let program = Program(candidates: ["/bin/true"], arguments: ["true"], environment: ThisProcess.environment)
    let files = try cgroup.joinFiles()
    let started = try program.start(
        cgroup: cgroup.directory.descriptor.rawValue, joinFiles: files.map { $0.descriptor.rawValue })
    _ = try started.takeProcess().waitForEnd()
    try cgroup.remove()
}

private func ways() throws -> [Way] {
    let place = try ParentCgroups(Hierarchies.current(), parentPath: nil, limits: limits().resolved())
    var ways = [
        Way(name: "posix_spawn") { try spawn(["/bin/true"]) },
        Way(name: "cgroup") { try runInCgroup(place) },
        Way(name: "job") { _ = try await run(spec("/bin/true"), output: .discarded) },
    ]
    if isExecutable("/usr/bin/bwrap") {
        ways.append(
            Way(name: "bwrap") {
                try spawn(
                    ["/usr/bin/bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--die-with-parent", "/bin/true"])
            })
    }
    return ways
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

/// What this process has used, and not those that it started.
private var cpuTime: Duration {
    var usage = rusage()
    getrusage(numericCast(RUSAGE_SELF.rawValue), &usage)
    func duration(_ time: timeval) -> Duration { .seconds(time.tv_sec) + .microseconds(time.tv_usec) }
    return duration(usage.ru_utime) + duration(usage.ru_stime)
}

/// How long one takes when so many are in the air.
private func throughput(_ count: Int, _ width: Int, _ way: Way) async throws -> Double {
    let whole = try await measured {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<width { group.addTask { try await way.run() } }
            for _ in width..<count {
                _ = try await group.next()
                group.addTask { try await way.run() }
            }
            try await group.waitForAll()
        }
    }
    return Double(whole.nanoseconds) / 1_000 / Double(count)
}

/// Medians of one after the other, in turns, since a machine's speed drifts.
private func sequence(_ ways: [Way], _ rounds: Int, as name: String) async throws {
    var times = [[Duration]](repeating: [], count: ways.count)
    var cpu = [Duration](repeating: .zero, count: ways.count)
    for round in 0..<rounds + 50 {
        for (index, way) in ways.enumerated() {
            let before = cpuTime
            let time = try await measured { try await way.run() }
            guard round >= 50 else { continue }
            cpu[index] += cpuTime - before
            times[index].append(time)
        }
    }
    for (index, way) in ways.enumerated() {
        say("\(name) \(way.name) \(median(times[index]))")
        say("\(name)-cpu \(way.name) \(Double(cpu[index].nanoseconds) / 1_000 / Double(rounds))")
    }
}

/// Microseconds, as lines of how, what and how many.
func timeEverything(_ rounds: Int) async throws {
    let ways = try ways()
    try await sequence(ways, rounds, as: "sequential")
    for way in ways { say("at50 \(way.name) \(try await throughput(rounds, 50, way))") }
    var sleeping: [Job] = []
    for live in [1, 1_000] {
        while sleeping.count < live { sleeping.append(try Job.start(spec("/bin/sleep", "1000"))) }
        try await sequence(ways.filter { ["posix_spawn", "job"].contains($0.name) }, rounds, as: "beside\(live)")
    }
    for job in sleeping { job.kill() }
    for job in sleeping { _ = await job.waitForEnd() }
}
