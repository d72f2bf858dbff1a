import LinuxSystem
import SandboxValues
import SystemPackage
import Testing

@testable import Cgroups

@Suite struct CgroupErrorTests {
    static let kinds: [CgroupError.Kind] = [
        .noCgroup2, .kernelTooOld(release: "5.10.0"), .readOnly(path: "/sys/fs/cgroup/x"),
        .notDelegated(
            path: "/sys/fs/cgroup/x", SystemError("mkdir", path: "/sys/fs/cgroup/x/y", errno: .permissionDenied)),
        .busyParent(path: "/sys/fs/cgroup/x", members: ["12 bash", "13 sshd"]),
        .controllerMissing(.memory, limit: LimitKind.memoryMax.name, path: "/sys/fs/cgroup/x", available: "cpu pids"),
        .legacyNotWritable(.pids, limit: LimitKind.pidsMax.name, path: "/sys/fs/cgroup/pids"),
        .legacyUnsupported(limit: LimitKind.memoryHigh.name, reason: "its soft limit does not slow a job down"),
        .knobMissing(file: "memory.swap.max", limit: LimitKind.swapMax.name),
        .knobMissing(file: "memory.high", limit: LimitKind.memoryHigh.name),
        .notApplied(file: "pids.max", wanted: "32", got: "max", limit: LimitKind.pidsMax.name),
        .parentNotFound(path: "/x"),
        .tooManyCgroups(path: "/sys/fs/cgroup/x"),
        .outsideMount(path: "/..", mount: "/sys/fs/cgroup"),
        .threaded(path: "/sys/fs/cgroup/x", type: "domain threaded"),
    ]

    /// Whoever is refused is told what is in the way and what to do, in one line, and no two read alike.
    @Test func eachReadsDifferentlyAndHasARemedy() throws {
        let errors = Self.kinds.map(CgroupError.init)
        #expect(Set(errors.map(\.reason)).count == errors.count)
        for error in errors {
            #expect(!(error.reason + (error.remedy ?? "")).contains("--m"), "programs have no options")
            let remedy = try #require(error.remedy)
            #expect(!remedy.isEmpty)
            #expect(!(error.reason + remedy).contains("\n"))
        }
    }

    @Test func namesOptionFigureAndPlace() {
        func reason(_ kind: CgroupError.Kind) -> String { CgroupError(kind).reason(.options) }
        #expect(
            reason(
                .controllerMissing(.memory, limit: LimitKind.memoryMax.name, path: "/sys/fs/cgroup/x", available: ""))
                == "--mem needs the memory controller, which /sys/fs/cgroup/x does not have (it has: none)")
        #expect(
            reason(.notApplied(file: "pids.max", wanted: "32", got: "max", limit: LimitKind.pidsMax.name))
                == "--pids: wrote \"32\" to pids.max, but it reads \"max\"")
        #expect(reason(.busyParent(path: "/x", members: ["12 bash", "13 sshd"])).contains("12 bash, 13 sshd"))
        let swap = CgroupError(.knobMissing(file: "memory.swap.max", limit: LimitKind.swapMax.name))
        #expect(swap.remedy(.options)?.contains("swapaccount") == true)
        let inAJob = "/sys/fs/cgroup/cgrun-0123456789abcdef"
        let missing = CgroupError(
            .controllerMissing(.cpu, limit: LimitKind.cpuWeight.name, path: inAJob, available: "pids"))
        #expect(missing.remedy(.options)?.contains("the job around this one --cpu max") == true)
    }

    @Test func tellsErrnosApart() {
        func error(_ errno: Errno) -> SystemError { SystemError("mkdir", path: "/x/cgrun-1", errno: errno) }
        func kind(_ errno: Errno) -> CgroupError.Kind { CgroupError.writing(error(errno), in: "/x").kind }
        #expect(kind(.readOnlyFileSystem) == .readOnly(path: "/x"))
        #expect(kind(.permissionDenied) == .notDelegated(path: "/x", error(.permissionDenied)))
        // The kernel's cgroup filesystems do not say EPERM: a filter of system calls does.
        #expect(kind(.notPermitted) == .system(error(.notPermitted)))
        #expect(CgroupError.writing(error(.notPermitted), in: "/x").remedy?.contains("seccomp") == true)
        #expect(kind(.resourceTemporarilyUnavailable) == .tooManyCgroups(path: "/x"))
        let other = SystemError("mkdir", path: "/x/cgrun-1", errno: .invalidArgument)
        #expect(kind(.invalidArgument) == .system(other))
        #expect(CgroupError(other).reason == "mkdir /x/cgrun-1: Invalid argument")
        #expect(CgroupError(other).remedy == nil)
    }

    @Test func systemErrorsNameValueAndFile() {
        let error = SystemError("write", path: "memory.max", value: "200M", errno: .invalidArgument)
        #expect(error.description == "write \"200M\" to memory.max: Invalid argument")
    }
}
