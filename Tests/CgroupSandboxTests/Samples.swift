import Cgroups
import LinuxSystem
import SandboxValues

@testable import CgroupSandbox

/// A report as a job that ended well would have it, for tests to change.
func sampleReport(_ change: (inout Report) -> Void = { _ in }) -> Report {
    var report = Report(
        jobID: "0123456789abcdef", argv: ["/usr/bin/python3", "-c", "pass"], cwd: "/srv/app", uid: 1000,
        host: "builder", bootID: "7e2b9b0e-0000-4000-8000-000000000000",
        containment: Report.Containment(
            manager: "cgroupfs", managerReason: "asked for", requested: "guarded",
            achieved: "guarded",
            layers: [Report.Layer(name: "guard", detail: "kills the job when the launcher or its parent is lost")],
            unit: nil, cgroup: "/sys/fs/cgroup/x/cgrun-0123456789abcdef",
            controllers: ["memory", "pids"], hierarchy: "unified"),
        startedAt: "2026-01-02T03:04:05.678Z", endedAt: "2026-01-02T03:04:07.178Z", wallSeconds: 1.5,
        limits: Report.LimitValues(wallTimeoutSeconds: 90))
    report.limits.resources.memoryMax = .value(.bytes(64 << 20))
    report.limits.resources.swapMax = .value(.bytes(0))
    report.limits.resources.pidsMax = .value(32)
    report.limits.resources.cpuMax = .value(CPUBandwidth(quotaMicroseconds: 150_000))
    report.result = .exited
    report.exitCode = 0
    report.cause = .normal
    report.launcherExitCode = 0
    report.memory = Report.Memory(
        peakBytes: 32 << 20, swapPeakBytes: nil, events: ["oom_kill": 0], eventsLocal: ["oom_kill": 0])
    report.pids = Report.PIDs(peak: 5, refusedForks: 0)
    report.cpu = Report.CPU(usageSeconds: 0.25, userSeconds: 0.2, systemSeconds: 0.05, throttledSeconds: nil)
    change(&report)
    return report
}

extension Report {
    static func ended(by signal: Signal, _ cause: Cause = .signalOther, dumped: Bool = false) -> Report {
        sampleReport {
            $0.result = dumped ? .dumped : .signaled
            $0.exitCode = nil
            $0.signal = SignalInfo(signal)
            $0.coreDumped = dumped
            $0.cause = cause
            $0.launcherExitCode = 128 + signal.rawValue
        }
    }
}
