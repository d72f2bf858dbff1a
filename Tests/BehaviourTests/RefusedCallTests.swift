import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// System calls that a filter refuses, limits of the process, and libraries that get between: cgrun works, or names
    /// what is in its way.
    @Suite(.onRealMachines) struct RefusedCalls {
        let harness: Harness

        init() throws { harness = try Harness() }

        private func without(_ call: String, _ arguments: String...) throws -> Outcome {
            try harness.start([Programs.probe, "without", call, Programs.cgrun] + arguments).end()
        }

        /// The stop signal and the guard's end have another way.
        @Test func signalsNeedNoPidfd() throws {
            let stopped = try without(
                "pidfd_send_signal", "--timeout", "100ms", "--kill-after", "1h", "--", "sleep", "1000")
            #expect(stopped.exitCode == 124)
            #expect(stopped.errors.contains(text: "with SIGTERM"))
            #expect(try without("pidfd_send_signal", "--", Programs.probe, "plant", "2").exitCode == 0)
            try harness.expectNothingLeft()
        }

        @Test(arguments: [("clone3-eperm", "clone3"), ("openat2", "open")])
        func whatAFilterRefusesIsNamed(_ filter: String, _ operation: String) throws {
            let outcome = try without(filter, "--", "echo", "ran")
            #expect(outcome.exitCode == 125)
            #expect(outcome.output == "")
            for part in [operation, "Operation not permitted", "seccomp"] {
                #expect(outcome.errors.contains(text: part), "\(part) in \(outcome.errors)")
            }
            #expect(
                !outcome.errors.contains(text: "install cgrun-guard") && !outcome.errors.contains(text: "run as root"))
            try harness.expectNothingLeft()
        }

        @Test(.enabled(if: !Capability.isRoot, "no limit on processes holds for root"))
        func tooManyProcessesOfTheUserAreNamed() throws {
            let script = "ulimit -u 1; exec \(Programs.cgrun) -- echo ran"
            let outcome = try harness.start(["bash", "-c", script]).end()
            #expect(outcome.exitCode == 125)
            #expect(outcome.errors.contains(text: "clone3: Resource temporarily unavailable"), "\(outcome.errors)")
            #expect(outcome.errors.contains(text: "ulimit -u"))
            try harness.expectNothingLeft()
        }

        @Test func tooFewDescriptorsAreNamed() throws {
            for most in 4...12 {
                let script = "ulimit -n \(most); exec \(Programs.cgrun) -- echo ran"
                let outcome = try harness.start(["sh", "-c", script]).end()
                #expect(outcome.exitCode == 125 || outcome.output == "ran\n")
                guard outcome.exitCode == 125 else { continue }
                // The guard needs as many under the hard limit.
                let remedies = ["raise the limit on open files (ulimit -n)", "ulimit -Hn"]
                #expect(outcome.errors.lowercased().contains(text: "too many open files"), "\(most): \(outcome.errors)")
                #expect(remedies.contains { outcome.errors.contains(text: $0) }, "\(most): \(outcome.errors)")
            }
            try harness.expectNothingLeft()
        }

        /// A program that lacks a library leaves with 127, as the dynamic loader has it.
        @Test func aGuardThatLacksALibraryIsNamed() throws {
            let guardian = try harness.writeFile("guard", "#!/bin/sh\nexit 127\n")
            try #require(chmod(guardian, 0o755) == 0)
            let outcome = try harness.cgrun("--", "true", environment: ["CGRUN_GUARD": guardian])
            #expect(outcome.exitCode == 125)
            #expect(outcome.errors.contains(text: "see with ldd whether it lacks a library"))
            try harness.expectNothingLeft()
        }

        /// As libfaketime does it.
        @Test func aPreloadedLibraryChangesNeitherArgumentsNorTime() throws {
            let library = Programs.probe.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/preload.so"
            let preload = ["LD_PRELOAD": library]
            let words = try harness.cgrun("--", "sh", "-c", "echo $1 $PRELOADED_A", "sh", "a", environment: preload)
            #expect(words.output == "a 1\n", "\(words.errors)")
            let late = try harness.cgrun("--timeout", "200ms", "--", "sleep", "1000", environment: preload)
            #expect(late.exitCode == 124)
            let early = try harness.cgrun("--timeout", "1h", "--", "sleep", "0.1", environment: preload)
            #expect(early.exitCode == 0, "\(early.errors)")
            try harness.expectNothingLeft()
        }

        // MARK: Limits of a process

        @Test func theLimitOnCPUTimeIsNamed() throws {
            let hard = try harness.reported("--", "sh", "-c", "ulimit -t 1; while :; do :; done")
            #expect(hard.outcome.exitCode == 137)
            let words = "s of 1s of CPU time, its limit as a process (RLIMIT_CPU)"
            #expect(hard.report.explanation?.contains(text: words) == true, "\(hard.report)")
            let soft = try harness.reported("--", "sh", "-c", "ulimit -S -t 1; while :; do :; done")
            #expect(soft.outcome.exitCode == 152)
            #expect(soft.report.explanation?.contains(text: "RLIMIT_CPU") == true, "\(soft.report)")
            try harness.expectNothingLeft()
        }

        /// Nothing shows that it came from outside.
        @Test func whoSentASignalIsNotGuessed() throws {
            let (outcome, report) = try harness.reported("--", "sh", "-c", "kill -9 $$")
            #expect(outcome.exitCode == 137)
            #expect(report.cause == .signalOther && report.confidence == .likely)
            #expect(report.explanation?.contains(text: ": a process of the job ") == true)
            #expect(!outcome.errors.contains(text: "from outside"))
            try harness.expectNothingLeft()
        }
    }
}
