import Cgroups
import LinuxSystem
import SandboxValues
import Testing

@testable import CgroupSandbox

/// The one line that an operator gets.
@Suite struct ExplanationTests {
    private func stopped(
        _ cause: Report.Cause, by requester: String, with signal: Signal, after grace: Double? = nil
    ) -> Report {
        var report = Report.ended(by: grace == nil ? signal : .kill, cause)
        report.termination.requestedBy = requester
        report.termination.signal = Report.SignalInfo(signal)
        report.termination.graceSeconds = grace ?? 5
        report.termination.escalated = grace != nil
        return report
    }

    private func oom(_ cause: Report.Cause) -> Report {
        var report = Report.ended(by: .kill, cause)
        report.memory.peakBytes = 64 << 20
        report.memory.events = ["oom_kill": 1]
        report.oomInTree = true
        return report
    }

    @Test func aPlainEndNeedsNone() {
        #expect(sampleReport().explanation(.options) == nil)
        #expect(sampleReport { ($0.exitCode, $0.cause) = (3, .nonzeroExit) }.explanation(.options) == nil)
    }

    @Test func anOwnMemoryLimitNamesFigureAndRemedy() {
        #expect(
            oom(.oomOwnLimit).explanation(.options)
                == "python3 was killed by the kernel at its memory limit (64.0 MiB; peak 64.0 MiB). "
                + "Raise --mem, or make it use less.")
    }

    @Test func aChildsDeathIsNotTheCommands() throws {
        var report = oom(.oomOwnLimit)
        (report.result, report.exitCode, report.signal) = (.exited, 137, nil)
        let text = try #require(report.explanation(.options))
        #expect(text.hasPrefix("a process that python3 had started was killed"))
        #expect(text.contains("python3 then exited with 137"))
    }

    @Test func successOverALossWarns() throws {
        let report = sampleReport {
            $0.oomInTree = true
            $0.memory.events = ["oom_kill": 2]
        }
        let text = try #require(report.explanation(.options))
        #expect(text.contains("exited with 0"))
        #expect(text.contains("2 processes"))
        #expect(text.contains("64.0 MiB"))
        #expect(text.contains("--mem"))
        #expect(text.contains("--fail-on-oom"))
    }

    @Test func timeLimitsNameThemselves() throws {
        let wall = try #require(stopped(.timeoutWall, by: "timeout", with: .terminate).explanation(.options))
        #expect(wall.contains("--timeout 90s") && wall.contains("SIGTERM") && wall.contains("Raise --timeout"))
        let killed = try #require(
            stopped(.timeoutWall, by: "timeout", with: .interrupt, after: 2.5).explanation(.options))
        #expect(killed.contains("killed") && killed.contains("2.5s after SIGINT"))
        var cpu = stopped(.timeoutCPU, by: "cpu_timeout", with: .terminate)
        cpu.limits.cpuTimeoutSeconds = 0.5
        cpu.cpu.usageSeconds = 0.51
        let text = try #require(cpu.explanation(.options))
        #expect(text.contains("--cpu-time 500ms") && text.contains("used 510ms") && text.contains("Raise --cpu-time"))
    }

    @Test func refusedForksNameTheFigures() throws {
        var report = sampleReport {
            ($0.exitCode, $0.cause) = (1, .pidsLimit)
            $0.pids = Report.PIDs(peak: 32, refusedForks: 7)
        }
        let text = try #require(report.explanation(.options))
        for part in ["exited with 1", "7 new processes or threads", "--pids 32", "peak 32", "Raise --pids"] {
            #expect(text.contains(part), "\(part)")
        }
        (report.exitCode, report.signal) = (nil, Report.SignalInfo(.abort))
        #expect(report.explanation(.options)?.contains("was ended by SIGABRT") == true)
    }

    @Test func requestsAreNoFailuresOfTheCommand() throws {
        let polite = try #require(stopped(.signalForwarded, by: "caller", with: .terminate).explanation(.options))
        #expect(polite.contains("on request"))
        let hard = try #require(
            stopped(.signalForwarded, by: "caller", with: .terminate, after: 5).explanation(.options))
        #expect(hard.contains("5s after SIGTERM") && hard.contains("Raise --kill-after"))
        // Seed 003: a normal restart must not read as an accident.
        var clean = stopped(.signalForwarded, by: "caller", with: .terminate)
        (clean.result, clean.exitCode, clean.signal, clean.launcherExitCode) = (.exited, 0, nil, 0)
        #expect(clean.explanation(.options) == nil)
        let passedOn = try #require(Report.ended(by: .user1, .signalForwarded).explanation(.options))
        #expect(passedOn.contains("SIGUSR1") && passedOn.contains("passed on"))
    }

    @Test func signalsReadByTheirMeaning() throws {
        #expect(Report.ended(by: .abort).explanation(.options)?.contains("aborted (SIGABRT)") == true)
        #expect(Report.ended(by: .abort, dumped: true).explanation(.options)?.contains("core dumped") == true)
        #expect(Report.ended(by: .kill).explanation(.options)?.contains("from outside (SIGKILL)") == true)
        #expect(Report.ended(by: .terminate).explanation(.options)?.contains("SIGTERM from outside") == true)
        #expect(Report.ended(by: .pipe).explanation(.options)?.contains("stopped reading") == true)
        let fault = Signal(rawValue: 11)
        #expect(Report.ended(by: fault).explanation(.options)?.contains("crashed (SIGSEGV)") == true)
        var interrupted = Report.ended(by: .interrupt)
        interrupted.evidence = [Report.Evidence(source: "signal source", value: "terminal")]
        #expect(interrupted.explanation(.options)?.contains("interrupted from the terminal (SIGINT)") == true)
    }

    @Test func whoeverAboveIsNamed() throws {
        var report = oom(.oomAncestor)
        report.evidence = [Report.Evidence(source: "memory.max above the job", value: "/sys/fs/cgroup/a: 1048576")]
        let text = try #require(report.explanation(.options))
        #expect(text.contains("/sys/fs/cgroup/a: 1048576") && text.contains("64.0 MiB"))
        #expect(oom(.oomSystem).explanation(.options)?.contains("the machine ran out of memory") == true)
    }

    @Test func errorsSayThemselves() {
        let error = sampleReport {
            ($0.result, $0.cause, $0.error) = (.notStarted, .execError, "./x: command not found")
        }
        #expect(error.explanation(.options) == "./x: command not found")
    }

    @Test func theUnkillableComeFirst() throws {
        var report = oom(.oomOwnLimit)
        report.unkillable = [Report.ProcessInfo(pid: 77, comm: "nfsd")]
        let text = try #require(report.explanation(.options))
        #expect(text.contains("77 nfsd") && text.contains("SIGKILL"))
    }

    /// A SIGTERM from outside, an abort, a timeout, an OOM and a pids refusal must read differently, as must all causes.
    @Test func noTwoCausesReadAlike() throws {
        var reports = Report.Cause.allCases.filter { $0 != .normal && $0 != .nonzeroExit }.map { cause in
            var report = Report.ended(by: .kill, cause)
            if cause == .setupError || cause == .execError { report.error = "\(cause)" }
            return report
        }
        reports += [.ended(by: .terminate), .ended(by: .abort), .ended(by: .pipe), .ended(by: Signal(rawValue: 11))]
        reports.append(stopped(.signalForwarded, by: "caller", with: .terminate))
        reports.append(stopped(.signalForwarded, by: "caller", with: .terminate, after: 5))
        reports.append(stopped(.timeoutWall, by: "timeout", with: .terminate))
        let texts = try reports.map { try #require($0.explanation, "\($0.cause)") }
        #expect(Set(texts).count == texts.count)
        #expect(texts.allSatisfy { !$0.contains("\n") && !$0.isEmpty })
    }

    @Test func usageIsOneLine() {
        let report = sampleReport { $0.strays = [Report.ProcessInfo(pid: 9, comm: "sleep")] }
        #expect(
            report.usage
                == "python3 exited with 0: 1.5s wall, 250ms CPU, memory peak 32.0 MiB, "
                + "5 processes and threads at most, 1 left behind and killed (9 sleep)")
        var lost = sampleReport { ($0.exitCode, $0.wallSeconds, $0.cpu) = (nil, nil, Report.CPU()) }
        (lost.memory, lost.pids) = (Report.Memory(), Report.PIDs())
        #expect(lost.usage == "python3 ended: unknown wall, unknown CPU")
    }

    /// What programs are told names no option of a command line, whatever it is about.
    @Test func programsAreToldOfLimitsNotOfOptions() {
        var reports = Report.Cause.allCases.map { cause in oom(cause) }
        reports += Report.Cause.allCases.map { stopped($0, by: "timeout", with: .terminate) }
        reports += Report.Cause.allCases.map { stopped($0, by: "caller", with: .terminate, after: 5) }
        reports += Report.Cause.allCases.map { cause in sampleReport { ($0.cause, $0.exitCode) = (cause, 3) } }
        let atTheCommandLine: [Report.Cause] = [.parentLost, .launcherLost, .guardLost]
        for report in reports where !atTheCommandLine.contains(report.cause) {
            let text = report.explanation ?? ""
            #expect(!text.contains(" --") && !text.contains("(--"), "\(text)")
            #expect(!text.contains("to cgrun"), "\(text)")
            #expect((report.explanation == nil) == (report.explanation(.options) == nil))
        }
        #expect(oom(.oomOwnLimit).explanation?.hasSuffix("Raise the memory limit, or make it use less.") == true)
    }
}
