import CgroupSandbox
import Cgroups
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// What another program does with the library, without the command line.
    @Suite(.enabled(if: ThisProcess.environmentVariable("CGRUN_GUARD") != nil, "CGRUN_GUARD names no guard"))
    struct Library {
        let marker = Marker()

        /// A job whose output nobody needs, marked like all others.
        private func spec(_ arguments: [String]) -> JobSpec {
            var spec = JobSpec(arguments.map { ByteString($0.utf8)! })
            spec.setEnvironment(ByteString("\(Marker.variable)=\(marker.text)".utf8)!)
            spec.setEnvironment("PATH=/usr/bin:/bin")
            return spec
        }

        private func run(_ spec: JobSpec) throws -> Report {
            try LaunchedJob(PreparedJob(LaunchSpec(spec))).waitForEnd()
        }

        @Test func runsAJobToItsEnd() throws {
            let before = openDescriptorCount
            let report = try run(spec(["sh", "-c", "exit 3"]))
            #expect(report.exitCode == 3)
            #expect(!report.containment.joinedBeforeExec, "the command is born in its cgroup")
            #expect(report.cause == .nonzeroExit)
            try Leftovers(of: marker).expectNone()
            #expect(openDescriptorCount == before)
        }

        @Test(.enabled(if: !Capability.isBooted, "booted with systemd"))
        func withoutSystemdThereIsNoScope() {
            let error = #expect(throws: LaunchError.self) { try HostScope.enter() }
            #expect(error?.reason.contains(text: "not booted with systemd") == true)
            #expect(error?.remedy?.contains(text: "leave HostScope.enter out") == true)
        }

        @Test func stopsAJob() throws {
            let job = try LaunchedJob(PreparedJob(LaunchSpec(spec(["sleep", "60"]))))
            #expect(job.cgroupPath.contains(text: job.id))
            job.requestStop()
            let report = job.waitForEnd()
            #expect(report.signal?.name == "SIGTERM")
            #expect(report.termination.requestedBy == "caller")
            #expect(marker.survivors.isEmpty)
        }

        @Test(.enabled(if: Capability.has("--mem"), "no memory controller for this caller"))
        func limitsAJob() throws {
            var spec = spec([Programs.probe, "child-allocate", "100", "ignore"])
            spec.limits.memoryMax = .value(.bytes(32 << 20))
            let report = try run(spec)
            #expect(report.oomInTree)
            #expect(report.limits.resources.memoryMax?.value?.bytes == 32 << 20)
        }

        @Test func commandsThatCannotBeStartedAreErrors() throws {
            let before = openDescriptorCount
            for (command, kind) in [("no-such-command", LaunchError.Kind.notFound), ("/etc/passwd", .notExecutable)] {
                do {
                    _ = try run(spec([command]))
                    Issue.record("\(command) started")
                } catch let error as LaunchError {
                    #expect(error.kind == kind)
                }
            }
            try Leftovers(of: marker).expectNone()
            #expect(openDescriptorCount == before)
        }
    }
}
