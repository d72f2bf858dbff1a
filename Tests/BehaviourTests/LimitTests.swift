import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// Limits hold, and a death by one is told as such.
    @Suite struct Memory {
        let harness: Harness

        init() throws { harness = try Harness() }

        @Test(.enabled(if: Capability.has("--mem"), "no memory controller for this caller"))
        func limitHoldsForTheMainProcess() throws {
            let (outcome, report) = try harness.reported("--mem", "32M", "--", Programs.probe, "allocate", "200")
            #expect(outcome.exitCode == 137)
            #expect(outcome.output == "")
            #expect(report.result == .signaled)
            #expect(report.cause == .oomOwnLimit)
            #expect(report.oomInTree)
            #expect(report.limits.resources.memoryMax?.value?.bytes == 32 << 20)
            #expect(report.limits.resources.swapMax == .value(.bytes(0)))
            #expect((report.memory.peakBytes ?? 0) > 30 << 20)
            #expect((report.memory.peakBytes ?? .max) <= 32 << 20)
            #expect(
                outcome.errors.contains(
                    text: "cgrun-probe was killed by the kernel at its memory limit (32.0 MiB; peak 3"))
            #expect(outcome.errors.contains(text: "Raise --mem"))
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.has("--mem"), "no memory controller for this caller"))
        func whatFitsIsNotKilled() throws {
            let (outcome, report) = try harness.reported("--mem", "64M", "--", Programs.probe, "allocate", "32")
            #expect(outcome.exitCode == 0)
            #expect(report.cause == .normal)
            #expect(!report.oomInTree)
            #expect((report.memory.peakBytes ?? 0) > 32 << 20)
            #expect(outcome.errors == "")
        }

        @Test(.enabled(if: Capability.has("--mem"), "no memory controller for this caller"))
        func deathOfAChildIsTold() throws {
            let (outcome, report) = try harness.reported(
                "--mem", "32M", "--", Programs.probe, "child-allocate", "200")
            #expect(outcome.exitCode == 137)
            #expect(report.result == .exited)
            #expect(report.exitCode == 137)
            #expect(report.cause == .oomOwnLimit)
            #expect(report.confidence == .likely)
            #expect(outcome.errors.contains(text: "a process that cgrun-probe had started was killed by the kernel"))
        }

        @Test(.enabled(if: Capability.has("--mem"), "no memory controller for this caller"))
        func successAfterAnOOMKillWarns() throws {
            let (outcome, report) = try harness.reported(
                "--mem", "32M", "--", Programs.probe, "child-allocate", "200", "ignore")
            #expect(outcome.exitCode == 0)
            #expect(report.cause == .normal)
            #expect(report.oomInTree)
            #expect(
                outcome.errors.contains(text: "warning: cgrun-probe exited with 0, but the kernel killed 1 process"))

            let strict = try harness.cgrun(
                "--fail-on-oom", "--mem", "32M", "--", Programs.probe, "child-allocate", "200", "ignore")
            #expect(strict.exitCode == 137)
        }

        @Test(.enabled(if: Capability.has("--mem"), "no memory controller for this caller"))
        func sigkillFromOutsideIsNotTakenForOOM() throws {
            let (outcome, report) = try harness.reported(
                "--mem", "64M", "--", Programs.probe, "die", "9")
            #expect(outcome.exitCode == 137)
            #expect(report.cause == .signalOther)
            #expect(outcome.errors.contains(text: "was ended by SIGKILL. cgrun did not send it"))
            let exited = try harness.reported("--mem", "64M", "--", Programs.probe, "exit", "137")
            #expect(exited.report.cause == .nonzeroExit)
            #expect(exited.outcome.errors == "")
        }

        @Test(.enabled(if: Capability.has("--mem"), "no memory controller for this caller"))
        func limitIsOnTheWholeTree() throws {
            // Each of them fits; together they do not.
            let script = "for i in 1 2 3 4; do \(Programs.probe) allocate 24 & done; wait"
            let (_, report) = try harness.reported("--mem", "48M", "--", "sh", "-c", script)
            #expect(report.oomInTree || (report.memory.peakBytes ?? 0) <= 48 << 20)
            #expect((report.memory.peakBytes ?? .max) <= 48 << 20)
        }

        @Test(.enabled(if: Capability.has("--mem-high"), "memory.high is not to be had here"))
        func highSlowsDownWithoutKilling() throws {
            let (outcome, report) = try harness.reported(
                "--mem-high", "16M", "--swap", "max", "--timeout", "60s", "--", Programs.probe, "allocate", "17")
            #expect(outcome.exitCode == 0 || report.cause == .timeoutWall)
            #expect((report.memory.events?["high"] ?? 0) > 0, "\(report.memory), unavailable: \(report.unavailable)")
        }

        @Test(
            .enabled(
                if: Capability.has("--mem") && Capability.canRaiseOOMScore,
                "needs CAP_SYS_RESOURCE and the memory controller"))
        func inheritedOOMExemptionIsReset() throws {
            let script =
                "echo -1000 > /proc/self/oom_score_adj && exec \(Programs.cgrun) --mem 32M -- sh -c "
                + "'cat /proc/self/oom_score_adj; exec \(Programs.probe) allocate 200'"
            let outcome = try harness.start(["sh", "-c", script]).end()
            #expect(outcome.output == "0\n")
            #expect(outcome.exitCode == 137)
        }
    }

    @Suite struct PIDs {
        let harness: Harness

        init() throws { harness = try Harness() }

        @Test(.enabled(if: Capability.has("--pids"), "no pids controller for this caller"))
        func forksAreRefused() throws {
            let (outcome, report) = try harness.reported("--pids", "16", "--", Programs.probe, "processes", "40")
            #expect(outcome.output == "made 15 refused 25\n")
            #expect(outcome.exitCode == 1)
            #expect(report.cause == .pidsLimit)
            #expect(report.confidence == .likely)
            #expect((report.pids.refusedForks ?? 0) > 0)
            #expect(report.pids.peak == 16 || report.pids.peak == nil)
            #expect(report.straysKilled)
            #expect(report.strays.count == 15)
            #expect(outcome.errors.contains(text: "(--pids 16; peak 16)"))
            #expect(outcome.errors.contains(text: "Raise --pids; threads count."))
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.has("--pids"), "no pids controller for this caller"))
        func threadsCount() throws {
            let (outcome, report) = try harness.reported("--pids", "16", "--", Programs.probe, "threads", "40")
            #expect(outcome.output == "made 15 refused 25\n")
            #expect(report.cause == .pidsLimit)
        }

        @Test(.enabled(if: Capability.has("--pids"), "no pids controller for this caller"))
        func refusedForkOfASuccessfulCommandIsNoDeath() throws {
            let (outcome, report) = try harness.reported(
                "--pids", "16", "--", "sh", "-c", "\(Programs.probe) processes 40; exit 0")
            #expect(outcome.exitCode == 0)
            #expect(report.cause == .normal)
            #expect((report.pids.refusedForks ?? 0) > 0)
            #expect(
                outcome.errors.contains(text: "warning: sh exited with 0 after the kernel had refused it "),
                "\(outcome)")
            #expect(outcome.errors.contains(text: "(--pids 16; peak 16): its results may be incomplete. Raise --pids"))
        }
    }

    @Suite struct CPU {
        let harness: Harness

        init() throws { harness = try Harness() }

        @Test(.enabled(if: Capability.has("--cpu"), "no cpu controller for this caller"))
        func bandwidthThrottles() throws {
            let (outcome, report) = try harness.reported("--cpu", "0.2", "--", Programs.probe, "burn", "200")
            #expect(outcome.exitCode == 0)
            #expect((report.cpu.throttledSeconds ?? 0) > 0.2)
            #expect((report.wallSeconds ?? 0) > 0.5)
        }

        @Test(.enabled(if: Capability.has("--cpuset"), "no cpuset controller for this caller"))
        func cpusetPins() throws {
            let outcome = try harness.cgrun(
                "--cpuset", "0", "--", "sh", "-c", "grep Cpus_allowed_list: /proc/self/status")
            #expect(outcome.output == "Cpus_allowed_list:\t0\n")
            let absent = try harness.cgrun("--cpuset", "0,4000", "--", "true")
            #expect(absent.exitCode == 125)
            #expect(absent.errors.contains(text: "--cpuset"))
        }

        @Test(.enabled(if: Capability.has("--cpu-weight"), "no cpu controller for this caller"))
        func weightIsTaken() throws {
            #expect(try harness.cgrun("--cpu-weight", "50", "--", "true").exitCode == 0)
        }

        @Test func cpuTimeOfTheTreeIsLimited() throws {
            let (outcome, report) = try harness.reported(
                "--cpu-time", "300ms", "--", Programs.probe, "burn", "20000", "2")
            #expect(outcome.exitCode == 124)
            #expect(report.cause == .timeoutCPU)
            #expect((report.cpu.usageSeconds ?? 0) >= 0.3)
            #expect((report.cpu.usageSeconds ?? 99) < 2)
            #expect(outcome.errors.contains(text: "CPU time limit (--cpu-time 300ms"))
            try harness.expectNothingLeft()
        }
    }

    @Suite struct IO {
        let harness: Harness

        init() throws { harness = try Harness() }

        @Test(.enabled(if: Capability.hasIOMax, "no io controller for this caller, or /var/tmp is on no disk"))
        func ratesHold() throws {
            // Not in the temporary directory, which may be in memory.
            let file = "/var/tmp/cgrun-test-\(JobName.make().id)"
            defer { unlink(file) }
            let (outcome, report) = try harness.reported(
                "--io-max", "/var/tmp:wbps=1M,riops=max", "--", "dd", "if=/dev/zero", "of=\(file)", "bs=256K",
                "count=8",
                "oflag=direct", "status=none")
            #expect(outcome.exitCode == 0 && outcome.errors == "", "\(outcome)")
            // Two mebibytes, of which the kernel may give one block in advance.
            #expect((report.wallSeconds ?? 0) > 1)
            let limit = try #require(report.limits.resources.ioMax.first)
            #expect(limit.rates == [.writeBytes: .value(1 << 20)], "what has no limit is none")
            if Capability.isUnified {
                let written = report.io?.first { $0.device == limit.device.description }?.writeBytes
                #expect((written ?? 0) >= 2 << 20, "\(report)")
            }
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: Capability.hasIOMax, "no io controller for this caller, or /var/tmp is on no disk"))
        func whatIsNoDiskIsRefused() throws {
            for (path, reason) in [
                ("/proc", "its filesystem has no block device of its own"),
                ("/dev/null", "its filesystem has no block device of its own"),
                ("4095:7", "there is no block device 4095:7"),
                ("/nowhere", "stat: No such file or directory"),
            ] {
                for option in [[], ["--dry-run"]] {
                    let outcome = try harness.startCgrun(option + ["--io-max", "\(path):rbps=1M", "--", "true"]).end()
                    #expect(outcome.exitCode == 125)
                    #expect(
                        outcome.errors
                            == "cgrun: --io-max \(path): \(reason); name a block device, or a path on one\n")
                }
            }
            try harness.expectNothingLeft()
        }
    }

    @Suite struct WallClock {
        let harness: Harness

        init() throws { harness = try Harness() }

        @Test func timeoutStopsPolitelyFirst() throws {
            let (outcome, report) = try harness.reported("--timeout", "100ms", "--", "sleep", "60")
            #expect(outcome.exitCode == 124)
            #expect(report.cause == .timeoutWall)
            #expect(report.signal?.name == "SIGTERM")
            #expect(!report.termination.escalated)
            #expect(outcome.errors.contains(text: "sleep was stopped at its time limit (--timeout 100ms) with SIGTERM"))
        }

        @Test func timeoutKillsWhatDoesNotListen() throws {
            let file = harness.path("report.json")
            // Deaf from its first moment on, however long it takes to start: what its caller ignores, it ignores.
            let outcome = try harness.start([
                "sh", "-c", "trap '' TERM; exec \"$@\"", "sh", Programs.cgrun, "--report", file, "--timeout", "100ms",
                "--kill-after", "200ms", "--", Programs.probe, "tree", "3",
            ]).end()
            let report = try harness.report(file)
            #expect(outcome.exitCode == 124)
            #expect(report.cause == .timeoutWall)
            #expect(report.signal?.name == "SIGKILL")
            #expect(report.termination.escalated)
            #expect(report.termination.cgroupKill)
            #expect(report.termination.graceSeconds == 0.2)
            #expect((report.wallSeconds ?? 0) >= 0.3)
            try harness.expectNothingLeft()
        }

        @Test func cleanExitWithinTheGraceIsATimeoutStill() throws {
            // Time enough for a shell to read its first line.
            let (outcome, report) = try harness.reported(
                "--timeout", "2s", "--", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done")
            #expect(outcome.exitCode == 124)
            #expect(report.exitCode == 0)
            #expect(report.cause == .timeoutWall)
        }

        @Test func stoppedCommandIsReached() throws {
            let outcome = try harness.cgrun("--timeout", "100ms", "--", "sh", "-c", "kill -STOP $$")
            #expect(outcome.exitCode == 124)
            try harness.expectNothingLeft()
        }
    }
}
