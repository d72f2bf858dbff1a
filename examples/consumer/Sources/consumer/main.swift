import CgroupSandbox

var limits = Limits()
limits.memoryMax = .value(.bytes(64 << 20))
limits.pidsMax = .value(32)

let result = try await run(
    .name("python3"), arguments: ["-c", "bytearray(200 << 20)"], limits: limits, timeout: .seconds(60),
    output: .discarded, error: .string(limit: 4_096))

print("\(result.report.cause.rawValue): \(result.report.explanation ?? result.standardError)")
