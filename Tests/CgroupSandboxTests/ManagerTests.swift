import LinuxSystem
import SandboxValues
import SystemdBus
import Testing

@testable import CgroupSandbox
@testable import Cgroups

struct ManagerTests {
    private let layout = Hierarchies(
        .unified, CgroupMount("/sys/fs/cgroup"), .init(parsing: "0::/system.slice/x.service")!
    ) { _, _ in nil }

    private func choice(_ layout: Hierarchies, _ change: (inout LaunchSpec) -> Void) throws(LaunchError) -> String {
        var spec = LaunchSpec(JobSpec(["true"]))
        change(&spec)
        switch try spec.resolveManager(layout) {
        case .cgroupfs(let reason): return reason
        case .systemd(_, let reason): return "systemd: " + reason
        }
    }

    @Test func whatIsAskedForIsTaken() throws {
        #expect(try choice(layout) { $0.manager = .cgroupfs } == "asked for")
        #expect(try choice(layout) { $0.job.cgroupParent = "/x" }.contains("--cgroup-parent"))
    }

    @Test func aJobInAJobStaysInside() throws {
        let inside = Hierarchies(
            .unified, CgroupMount("/sys/fs/cgroup"), .init(parsing: "0::/a/cgrun-0123456789abcdef/cgrun-leaf")!
        ) { _, _ in nil }
        #expect(try choice(inside) { _ in }.contains("inside the job cgrun-0123456789abcdef"))
    }

    @Test func unitsNeedSystemd() {
        let error = #expect(throws: LaunchError.self) {
            try choice(layout) {
                $0.manager = .cgroupfs
                $0.unit.slice = "x.slice"
            }
        }
        #expect(error?.message.contains("makes no unit") == true)
        #expect(throws: LaunchError.self) {
            try choice(layout) {
                $0.manager = .systemd
                $0.job.cgroupParent = "/x"
            }
        }
    }

    // MARK: The scope

    private func properties(_ change: (inout LaunchSpec) -> Void) throws -> [String: UnitProperty.Value] {
        var spec = LaunchSpec(JobSpec(["sleep", "1"]))
        change(&spec)
        let scope = try ScopePlan(spec, spec.job.limits.resolved(), jobName: "cgrun-1").jobScope(members: [7, 8])
        return Dictionary(scope.properties.map { ($0.name, $0.value) }, uniquingKeysWith: { _, _ in .bool(false) })
    }

    @Test func limitsAreShownByTheUnit() throws {
        let shown = try properties {
            $0.job.limits.memoryMax = .value(.bytes(1 << 20))
            $0.job.limits.pidsMax = .value(5)
            $0.job.limits.cpuMax = (try? CPUBandwidth(parsing: "1.5")).map { .value($0) }
            $0.job.limits.cpuWeight = try? CPUWeight(parsing: "50")
            $0.job.limits.cpuset = try? CPUSet(parsing: "0,9")
        }
        #expect(shown["MemoryMax"] == .uint64(17 << 20), "16 MiB for the holder and the cgroups")
        #expect(shown["MemorySwapMax"] == .uint64(0))
        #expect(shown["TasksMax"] == .uint64(6), "one for the holder")
        #expect(shown["CPUQuotaPerSecUSec"] == .uint64(1_500_000))
        #expect(shown["CPUWeight"] == .uint64(50))
        #expect(shown["AllowedCPUs"] == .bytes([0b1, 0b10]))
        #expect(shown["DelegateControllers"] == .strings(["cpuset", "cpu", "memory", "pids"]))
    }

    @Test func theScopeIsBoundToItsGuard() throws {
        let shown = try properties { _ in }
        #expect(shown["BindsTo"] == .strings(["cgrun-1-guard.scope"]))
        #expect(shown["After"] == .strings(["cgrun-1-guard.scope"]))
        #expect(shown["PIDFDs"] == .descriptors([7, 8]))
        #expect(shown["CollectMode"] == .string("inactive-or-failed"))
        #expect(shown["Slice"] == nil)
    }

    @Test func theScopeStopsAsTheJobDoes() throws {
        var shown = try properties { _ in }
        #expect(shown["KillSignal"] == .int32(15) && shown["TimeoutStopUSec"] == .uint64(5_000_000))
        shown = try properties { ($0.job.stopSignal, $0.job.grace) = (.quit, .milliseconds(2_500)) }
        #expect(shown["KillSignal"] == .int32(3) && shown["TimeoutStopUSec"] == .uint64(2_500_000))
        shown = try properties { $0.job.grace = .zero }
        #expect(shown["KillSignal"] == .int32(9) && shown["TimeoutStopUSec"] == .uint64(1_000_000))
        #expect(shown["SendSIGKILL"] == .bool(true))
        let program = ScopePlan(UnitOptions(), .none, jobsOf: "server").jobScope(members: [])
        #expect(program.properties.contains(UnitProperty("KillSignal", .int32(9))), "whose jobs have no stop in common")
    }

    @Test func namesAndPropertiesOfTheCallerWin() throws {
        var spec = LaunchSpec(JobSpec(["true"]))
        spec.unit.name = "nightly"
        spec.unit.slice = "batch.slice"
        spec.unit.properties = [UnitProperty("OOMPolicy", .string("kill"))]
        let plan = ScopePlan(spec, .none, jobName: "cgrun-1")
        #expect(plan.name == "nightly.scope")
        #expect(plan.companionName == "nightly-guard.scope")
        let scope = plan.jobScope(members: [])
        #expect(scope.properties.filter { $0.name == "OOMPolicy" }.map(\.value) == [.string("kill")])
        #expect(scope.properties.contains(UnitProperty("Slice", .string("batch.slice"))))
        #expect(plan.companionScope(members: [3]).properties.contains(UnitProperty("Slice", .string("batch.slice"))))
    }

    private func description(_ scope: ServiceManager.TransientUnit) -> String? {
        scope.properties.first { $0.name == "Description" }?.description
    }

    /// As it goes to systemd, which would take a line of it for a setting of its own.
    @Test func descriptionsAreLines() {
        var spec = LaunchSpec(JobSpec(["sh", "-c", "a\nOnSuccess=b.service"]))
        func shown() -> String? { description(ScopePlan(spec, .none, jobName: "cgrun-1").jobScope(members: [])) }
        #expect(shown() == #"Description="cgrun sh -c a\nOnSuccess=b.service""#)
        spec.unit.description = "c\nOnSuccess=d.service\\"
        #expect(shown() == #"Description=c\nOnSuccess=d.service\\"#)
        spec.unit.description = nil
        spec.job.arguments = ["x", ByteString(Array(String(repeating: "y", count: 197).utf8) + Array("\\z".utf8))!]
        #expect(shown()?.hasSuffix(#"yy\\""#) == true, "cut off after a backslash")
        // One of Swift's characters, longer than a line may be for systemd.
        spec.job.arguments = [ByteString(("e" + String(repeating: "\u{301}", count: 1 << 20)).utf8)!]
        let size = 199 * 2 + #"Description="cgrun e""#.utf8.count
        #expect(shown()?.utf8.count == size)
    }

    @Test func aProgramsNameIsALine() {
        let plan = ScopePlan(UnitOptions(), .none, jobsOf: "a\nOnSuccess=b.service")
        #expect(description(plan.jobScope(members: [])) == #"Description="jobs of a\nOnSuccess=b.service""#)
        let program = description(plan.companionScope(members: []))
        #expect(program?.hasPrefix(#"Description="a\nOnSuccess=b.service, whose jobs are in cgrun-"#) == true)
    }

    @Test func whatOldVersionsDoNotKnow() {
        let pids = ScopePlan.retreat(UnitProperty("PIDFDs", .descriptors([7, 8])), members: [7: 70, 8: 80])
        #expect(pids == [UnitProperty("PIDs", .pids([70, 80]))])
        #expect(ScopePlan.retreat(UnitProperty("OOMPolicy", .string("continue")), members: [:]) == [])
        #expect(ScopePlan.retreat(UnitProperty("OOMPolicy", .string("kill")), members: [:]) == nil, "asked for")
        #expect(ScopePlan.retreat(UnitProperty("MemoryMax", .uint64(1)), members: [:]) == nil)
    }
}
