import Cgroups
import LinuxSystem
import SandboxValues
import Testing

@testable import CgroupSandbox

extension Report {
    /// What people are told of this end.
    fileprivate func told(_ wording: Wording) -> String? {
        var copy = self
        copy.explain(wording)
        return copy.message
    }
}

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
        #expect(sampleReport().told(.options) == nil)
        #expect(sampleReport { ($0.exitCode, $0.cause) = (3, .nonzeroExit) }.told(.options) == nil)
    }

    @Test func anOwnMemoryLimitNamesFigureAndRemedy() {
        #expect(
            oom(.oomOwnLimit).told(.options)
                == "python3 was killed by the kernel at its memory limit (64.0 MiB; peak 64.0 MiB). "
                + "Raise --mem, or make it use less.")
    }

    @Test func aChildsDeathIsNotTheCommands() throws {
        var report = oom(.oomOwnLimit)
        (report.result, report.exitCode, report.signal) = (.exited, 137, nil)
        let text = try #require(report.told(.options))
        #expect(text.hasPrefix("a process that python3 had started was killed"))
        #expect(text.contains("python3 then exited with 137"))
    }

    @Test func successOverALossWarns() throws {
        let report = sampleReport {
            $0.oomInTree = true
            $0.memory.events = ["oom_kill": 2]
        }
        let text = try #require(report.told(.options))
        #expect(text.contains("exited with 0"))
        #expect(text.contains("2 processes"))
        #expect(text.contains("64.0 MiB"))
        #expect(text.contains("--mem"))
        #expect(text.contains("--fail-on-oom"))
    }

    @Test func timeLimitsNameThemselves() throws {
        let wall = try #require(stopped(.timeoutWall, by: "timeout", with: .terminate).told(.options))
        #expect(wall.contains("--timeout 90s") && wall.contains("SIGTERM") && wall.contains("Raise --timeout"))
        let killed = try #require(
            stopped(.timeoutWall, by: "timeout", with: .interrupt, after: 2.5).told(.options))
        #expect(killed.contains("killed") && killed.contains("2.5s after SIGINT"))
        var cpu = stopped(.timeoutCPU, by: "cpu_timeout", with: .terminate)
        cpu.limits.cpuTimeoutSeconds = 0.5
        cpu.cpu.usageSeconds = 0.51
        let text = try #require(cpu.told(.options))
        #expect(text.contains("--cpu-time 500ms") && text.contains("used 510ms") && text.contains("Raise --cpu-time"))
    }

    @Test func refusedForksNameTheFigures() throws {
        var report = sampleReport {
            ($0.exitCode, $0.cause) = (1, .pidsLimit)
            $0.pids = Report.PIDs(peak: 32, refusedForks: 7)
        }
        let text = try #require(report.told(.options))
        for part in ["exited with 1", "7 new processes or threads", "--pids 32", "peak 32", "Raise --pids"] {
            #expect(text.contains(part), "\(part)")
        }
        (report.exitCode, report.signal) = (nil, Report.SignalInfo(.abort))
        #expect(report.told(.options)?.contains("was ended by SIGABRT") == true)
    }

    @Test func requestsAreNoFailuresOfTheCommand() throws {
        let polite = try #require(stopped(.signalForwarded, by: "caller", with: .terminate).told(.options))
        #expect(polite.contains("on request"))
        let hard = try #require(
            stopped(.signalForwarded, by: "caller", with: .terminate, after: 5).told(.options))
        #expect(hard.contains("5s after SIGTERM") && hard.contains("Raise --kill-after"))
        // Seed 003: a normal restart must not read as an accident.
        var clean = stopped(.signalForwarded, by: "caller", with: .terminate)
        (clean.result, clean.exitCode, clean.signal, clean.launcherExitCode) = (.exited, 0, nil, 0)
        #expect(clean.told(.options) == nil)
        let passedOn = try #require(Report.ended(by: .user1, .signalForwarded).told(.options))
        #expect(passedOn.contains("SIGUSR1") && passedOn.contains("passed on"))
    }

    @Test func signalsReadByTheirMeaning() throws {
        #expect(Report.ended(by: .abort).told(.options)?.contains("aborted (SIGABRT)") == true)
        #expect(Report.ended(by: .abort, dumped: true).told(.options)?.contains("core dumped") == true)
        #expect(
            Report.ended(by: .kill).told(.options)?.contains("a process of the job sent it, or one outside") == true)
        var uncounted = Report.ended(by: .kill)
        uncounted.memory.events = nil
        #expect(uncounted.told(.options)?.contains("or the kernel for want of memory, which is not counted") == true)
        #expect(Report.ended(by: .terminate).told(.options)?.contains("SIGTERM, which cgrun did not send") == true)
        #expect(Report.ended(by: .pipe).told(.options)?.contains("stopped reading") == true)
        let fault = Signal(rawValue: 11)
        #expect(Report.ended(by: fault).told(.options)?.contains("crashed (SIGSEGV)") == true)
        var interrupted = Report.ended(by: .interrupt)
        interrupted.evidence = [Report.Evidence(source: "signal source", value: "terminal")]
        #expect(interrupted.told(.options)?.contains("interrupted from the terminal (SIGINT)") == true)
    }

    /// A process has limits of its own, at which the kernel sends it signals.
    @Test func limitsOfTheProcessAreNamed() throws {
        for (number, limit) in [(24, "RLIMIT_CPU"), (25, "RLIMIT_FSIZE")] as [(Int32, String)] {
            #expect(Report.ended(by: Signal(rawValue: number)).told(.options)?.contains(limit) == true)
        }
        var usedUp = Report.ended(by: .kill)
        usedUp.evidence = [Report.Evidence(source: "RLIMIT_CPU", value: "1.9s of 2s")]
        #expect(usedUp.told(.options)?.contains("when it had used 1.9s of 2s of CPU time, its limit") == true)
        #expect(Report.ended(by: Signal(rawValue: 14)).told(.options)?.contains("crashed") == false)
    }

    @Test func durationsOfAnyLengthAreTold() {
        var report = stopped(.timeoutWall, by: "timeout", with: .terminate)
        report.limits.wallTimeoutSeconds = -9.3e18
        #expect(report.told(.options)?.contains("--timeout -9.3e+18s") == true)
    }

    @Test func adviceStandsApart() {
        var report = oom(.oomOwnLimit)
        report.explain(.options)
        #expect(report.explanation?.hasSuffix("(64.0 MiB; peak 64.0 MiB).") == true)
        #expect(report.advice == "Raise --mem, or make it use less.")
    }

    /// Names are data: nobody can choose one that ends the line, or that reads like a part of the sentence.
    @Test func namesAreQuoted() {
        var report = Report.ended(by: .kill)
        report.argv = ["/tmp/x\n\u{1B}[31mroot was here"]
        report.strays = [Report.ProcessInfo(pid: 9, comm: "a \"b\"\n")]
        #expect(report.told(.options)?.hasPrefix(#""x\n\x1b[31mroot was here" was ended"#) == true)
        #expect(report.usage.contains(#"(9 "a \"b\"\n")"#), "\(report.usage)")
        #expect(["python3", "(sd-pam)", "kworker/0:1"].allSatisfy { $0.asName == $0 } && "".asName == "\"\"")
    }

    @Test func whoeverAboveIsNamed() throws {
        var report = oom(.oomAncestor)
        report.evidence = [Report.Evidence(source: "memory.max above the job", value: "/sys/fs/cgroup/a: 1048576")]
        let text = try #require(report.told(.options))
        #expect(text.contains("/sys/fs/cgroup/a: 1048576") && text.contains("64.0 MiB"))
        #expect(oom(.oomSystem).told(.options)?.contains("the machine ran out of memory") == true)
    }

    @Test func whoRefusedIsNamed() throws {
        var report = sampleReport {
            ($0.exitCode, $0.cause, $0.pids.refusedForks) = (2, .pidsAncestor, 1)
            $0.evidence = [Report.Evidence(source: Diagnosis.pidsLimitAbove, value: "/sys/fs/cgroup/a.scope: 12")]
        }
        var text = try #require(report.told(.options))
        #expect(
            text.contains(
                "it a new process or thread at the limit of a cgroup above the job (/sys/fs/cgroup/a.scope: 12)"))
        #expect(text.contains("Raise that limit") && !text.contains("--pids"))
        // systemd limits every scope, and --pids is how to say otherwise.
        report.containment.unit = "a.scope"
        text = try #require(report.told(.options))
        #expect(text.contains("Give --pids, which also raises the limit of its scope"))
        (report.evidence, report.cause, report.exitCode) = ([], .normal, 0)
        text = try #require(report.told(.options))
        #expect(
            text.contains("exited with 0 after") && text.contains("(--pids 32; peak 5): its results may be incomplete"))
    }

    @Test func whoTookTooLongIsTold() throws {
        var report = sampleReport {
            ($0.result, $0.exitCode, $0.cause, $0.launcherExitCode) = (.signaled, nil, .timeoutWall, 124)
            $0.signal = Report.SignalInfo(.terminate)
            $0.strays = [Report.ProcessInfo(pid: 7, comm: "server")]
            $0.termination = Report.Termination(
                requestedBy: "timeout", signal: Report.SignalInfo(.terminate), graceSeconds: 5, escalated: true,
                cgroupKill: true)
        }
        var text = try #require(report.told(.options))
        #expect(text.contains(" with SIGTERM, and what it had left was killed 5s later."))
        (report.cause, report.termination.requestedBy) = (.signalForwarded, "caller")
        text = try #require(report.told(.options))
        #expect(text.contains(" with SIGTERM, and what it had left was killed 5s later. Raise --kill-after"))
        // The command was killed itself, and some of its children happened to die after it.
        report.signal = Report.SignalInfo(.kill)
        text = try #require(report.told(.options))
        #expect(text.contains("it was still there 5s after SIGTERM"))
        (report.cause, report.termination.requestedBy) = (.timeoutWall, "timeout")
        text = try #require(report.told(.options))
        #expect(text.contains("and killed, since it was still there 5s after SIGTERM"))
        report.evidence = [Report.Evidence(source: Diagnosis.byGuard, value: "killed the job when its time was over")]
        text = try #require(report.told(.options))
        #expect(text.contains(" with SIGTERM and killed by the guard, since cgrun itself did not act"))
        report.evidence = [Report.Evidence(source: Diagnosis.afterCommand, value: "timeout")]
        (report.result, report.signal, report.exitCode) = (.exited, nil, 0)
        text = try #require(report.told(.options))
        #expect(text.contains("python3 had exited with 0, and what it had left was stopped at its time limit"))
    }

    @Test func changedLimitsAreAddedToWhateverIsTold() throws {
        var report = oom(.oomOwnLimit)
        report.limitsChanged = [Report.LimitChange(file: "/x/pids.max", set: "12", found: nil)]
        report.explain(.options)
        #expect(
            report.explanation?.hasSuffix("changed its limits while it ran: pids.max was set to 12, and is gone.")
                == true)
        #expect(report.advice?.hasPrefix("Raise --mem") == true)
    }

    @Test func errorsSayThemselves() {
        let error = sampleReport {
            ($0.result, $0.cause, $0.error) = (.notStarted, .execError, "./x: command not found")
        }
        #expect(error.told(.options) == "./x: command not found")
    }

    @Test func theUnkillableComeFirst() throws {
        var report = oom(.oomOwnLimit)
        report.unkillable = [Report.ProcessInfo(pid: 77, comm: "nfsd")]
        let text = try #require(report.told(.options))
        #expect(text.contains("77 nfsd") && text.contains("SIGKILL"))
    }

    /// A SIGTERM from outside, an abort, a timeout, an OOM and a pids refusal must read differently, as must all causes.
    @Test func noTwoCausesReadAlike() throws {
        var reports = Report.Cause.allCases.filter { $0 != .normal && $0 != .nonzeroExit }.map { cause in
            var report = Report.ended(by: .kill, cause)
            if cause == .setupError || cause == .execError { report.error = "\(cause)" }
            if cause == .pidsAncestor {
                report.evidence = [Report.Evidence(source: Diagnosis.pidsLimitAbove, value: "out of sight")]
            }
            return report
        }
        reports += [.ended(by: .terminate), .ended(by: .abort), .ended(by: .pipe), .ended(by: Signal(rawValue: 11))]
        reports.append(stopped(.signalForwarded, by: "caller", with: .terminate))
        reports.append(stopped(.signalForwarded, by: "caller", with: .terminate, after: 5))
        reports.append(stopped(.timeoutWall, by: "timeout", with: .terminate))
        let texts = try reports.map { try #require($0.told(.library), "\($0.cause)") }
        #expect(Set(texts).count == texts.count)
        #expect(texts.allSatisfy { !$0.contains("\n") && !$0.isEmpty })
    }

    @Test func usageIsOneLine() {
        var report = sampleReport { $0.strays = [Report.ProcessInfo(pid: 9, comm: "sleep")] }
        #expect(report.usage.contains("1 left behind and asked to end (9 sleep)"))
        report.termination.cgroupKill = true
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
            let text = report.told(.library) ?? ""
            #expect(!text.contains(" --") && !text.contains("(--"), "\(text)")
            #expect(!text.contains("to cgrun"), "\(text)")
            #expect((report.told(.library) == nil) == (report.told(.options) == nil))
        }
        #expect(oom(.oomOwnLimit).told(.library)?.hasSuffix("Raise the memory limit, or make it use less.") == true)
    }
}
