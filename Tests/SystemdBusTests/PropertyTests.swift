import SystemdBus
import Testing

struct PropertyTests {
    @Test(arguments: [
        ("OOMPolicy=kill", UnitProperty("OOMPolicy", .string("kill"))),
        ("IOWeight=50", UnitProperty("IOWeight", .uint64(50))),
        ("MemoryLow=1G", UnitProperty("MemoryLow", .uint64(1 << 30))),
        ("MemoryLow=infinity", UnitProperty("MemoryLow", .uint64(.max))),
        ("IPAccounting=yes", UnitProperty("IPAccounting", .bool(true))),
        ("IPAccounting=0", UnitProperty("IPAccounting", .bool(false))),
        ("CPUQuotaPeriodSec=10ms", UnitProperty("CPUQuotaPeriodUSec", .uint64(10_000))),
        ("CPUQuotaPeriodSec=2min", UnitProperty("CPUQuotaPeriodUSec", .uint64(120_000_000))),
        ("CPUQuotaPeriodSec=1", UnitProperty("CPUQuotaPeriodUSec", .uint64(1_000_000))),
        ("After=a.service b.service", UnitProperty("After", .strings(["a.service", "b.service"]))),
    ])
    func assignment(_ text: String, _ expected: UnitProperty) throws {
        #expect(try UnitProperty(assignment: text) == expected)
    }

    @Test(arguments: [
        ("OOMPolicy", "KEY=VALUE"), ("=kill", "KEY=VALUE"), ("OOMPolicy=perhaps", "continue, stop, kill"),
        ("MemoryMax=1G", "--mem"), ("TasksMax=5", "--pids"), ("PIDs=1", "holds the job"),
        ("KillSignal=SIGTERM", "holds the job"), ("Nonsense=1", "one of the keys"), ("IOWeight=0", "1 to 10000"),
        ("MemoryLow=1.5G", "bytes"), ("MemoryLow=99999999999T", "bytes"), ("IPAccounting=maybe", "yes or no"),
        ("CPUQuotaPeriodSec=-1", "a time"), ("After=", "names"),
    ])
    func refusal(_ text: String, _ accepted: String) {
        let error = #expect(throws: PropertySyntaxError.self) { try UnitProperty(assignment: text) }
        #expect(error?.accepted.contains(accepted) == true, "\(error?.accepted ?? "")")
    }
}
