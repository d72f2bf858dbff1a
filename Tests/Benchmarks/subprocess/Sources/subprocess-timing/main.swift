// Times swift-subprocess with `true`, in the words of `cgrun-host time`.

import Subprocess

func runOnce() async throws {
    _ = try await run(.path("/bin/true"), output: .discarded, error: .discarded)
}

func microseconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) * 1e6 + Double(duration.components.attoseconds) / 1e12
}

let rounds = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 500
var times: [Double] = []
for round in 0..<rounds + 50 {
    let start = ContinuousClock.now
    try await runOnce()
    if round >= 50 { times.append(microseconds(ContinuousClock.now - start)) }
}
print("sequential swift-subprocess \(times.sorted()[times.count / 2])")
let start = ContinuousClock.now
try await withThrowingTaskGroup(of: Void.self) { group in
    for _ in 0..<50 { group.addTask { try await runOnce() } }
    for _ in 50..<max(50, rounds) {
        _ = try await group.next()
        group.addTask { try await runOnce() }
    }
    try await group.waitForAll()
}
print("at50 swift-subprocess \(microseconds(ContinuousClock.now - start) / Double(rounds))")
