import Cgroups
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

private let rounds = ThisProcess.environmentVariable("CGRUN_TEST_ROUNDS").flatMap { Int($0) } ?? 30

extension Behaviour {
    /// A program that gets itself a scope for its jobs.
    @Suite(.enabled(if: Capability.usesSystemd, "not booted with systemd, or not asked to use it"))
    struct ScopesOfHosts {
        let harness: Harness

        init() throws { harness = try Harness() }

        /// Starts the program where nothing is delegated to it, with all that it needs to find.
        private func start(
            _ arguments: [String], environment: [String: String] = [:], program: String = Programs.host
        ) throws -> TestProcess {
            let user = Capability.isRoot ? [] : ["--user"]
            let unit = "plain-\(harness.marker.text)-\(Int.random(in: 0..<1_000_000))"
            return try harness.start(
                ["systemd-run", "--quiet", "--scope", "--collect", "--description", "plain", "--unit", unit] + user
                    + [program] + arguments,
                environment: environment.merging(["CGRUN_GUARD": Programs.guardian]) { given, _ in given })
        }

        /// The program with so many sleeping jobs, and what it said of its scope.
        private func startSleepers(
            _ count: Int, environment: [String: String] = [:], program: String = Programs.host
        ) throws -> (host: TestProcess, unit: String, own: String) {
            let host = try start(["scope", "sleep", "\(count)"], environment: environment, program: program)
            try host.waitForOutput("ready")
            let words = try #require(host.output.split(separator: "\n").first).split(separator: " ").map(String.init)
            try #require(words.count > 3 && words[0] == "scope", "\(host.output)")
            // The kernel lets the launcher go on a moment before it gives a process its new name.
            try eventually("all sleep") { harness.marker.survivors.count { $0.command == "sleep" } == count }
            return (host, words[1], words[2])
        }

        private func victim(_ name: String) throws -> ProcessDescriptor {
            try ProcessDescriptor(pid: harness.survivor(name).pid)
        }

        /// No process and no unit. With the guard dead, nobody ends after the holder, and systemd may leave
        /// the empty directory of a scope that it was still on its way out of.
        private func expectNothingButDirectories() throws {
            try harness.expectNoUnit()
            try eventually("no scope's cgroup: \(TestCgroups.jobs)") {
                let scopes = TestCgroups.jobs.filter { $0.hasSuffix(".scope") }
                // Fails while a job or a process is in it.
                for scope in scopes where rmdir(scope + "/cgrun-leaf") == 0 || errno == ENOENT { rmdir(scope) }
                return scopes.isEmpty
            }
            try harness.expectNothingLeft()
        }

        private func expectNothingLeft() throws {
            try harness.expectNothingLeft()
            try harness.expectNoUnit()
        }

        @Test func jobsAreInAScopeOfTheirOwn() throws {
            let (host, unit, own) = try startSleepers(3)
            let program = try Hierarchies.unifiedPath(of: host.process.pid)
            #expect(program.hasSuffix("/" + own))
            let sleepers = harness.marker.survivors.filter { $0.command == "sleep" }
            #expect(sleepers.count == 3)
            for sleeper in sleepers {
                #expect(try Hierarchies.unifiedPath(of: sleeper.pid).contains(text: "/\(unit)/cgrun-"))
            }
            #expect(try harness.systemctl("show", unit, "-p", "BindsTo").lines == ["BindsTo=\(own)"])
            host.send(.kill)
            _ = try host.end()
            try expectNothingLeft()
        }

        /// Its name is text of both scopes, which systemd reads again. (No program that has a line end among the first
        /// 15 bytes of its name: systemd does not understand /proc/PID/stat then.)
        @Test(.onRealMachines) func aProgramsNameIsNoSetting() throws {
            let program = harness.path("host-of-the-jobs\nBindsTo=\n")
            #expect(try harness.start(["cp", Programs.host, program]).end().exitCode == 0)
            let (host, unit, own) = try startSleepers(1, program: program)
            for _ in 0..<2 {
                let shown = try harness.systemctl("show", unit, "-p", "BindsTo", "-p", "Description")
                #expect(
                    shown.lines.sorted() == ["BindsTo=\(own)", #"Description=jobs of host-of-the-jobs\nBindsTo=\n"#])
                #expect(
                    try harness.systemctl("show", own, "-p", "Description").lines
                        == [#"Description=host-of-the-jobs\nBindsTo=\n, whose jobs are in \#(unit)"#])
                try harness.systemctl("daemon-reload")
            }
            host.send(.kill)
            _ = try host.end()
            try expectNothingLeft()
        }

        @Test(.onRealMachines) func hostAndGuardKilledAtOnce() throws {
            for _ in 0..<rounds {
                let host = try start(["scope", "load", "4"])
                try host.waitForOutput("scope")
                pause(.milliseconds(Int.random(in: 0...80)))
                let guardian = harness.marker.guards.first.flatMap { try? ProcessDescriptor(pid: $0.pid) }
                // Stopped first, so that neither can act on the other's end.
                try? guardian?.send(.stop)
                host.send(.stop)
                host.send(.kill)
                try? guardian?.send(.kill)
                _ = try host.end()
                try expectNothingButDirectories()
            }
        }

        /// By pid instead of pidfd, systemd finds a dead process too late, and leaves the guard's cgroup.
        @Test(.enabled(if: Capability.systemdVersion >= 255, "before 255 an empty cgroup may be left"))
        func hostKilledWhileItEnters() throws {
            for _ in 0..<rounds {
                let host = try start(["scope", "load", "4"])
                try eventually("the host") { ProcessTable.commandName(host.process.pid) == "cgrun-host" }
                pause(.microseconds(Int.random(in: 0...40_000)))
                host.send(.kill)
                _ = try host.end()
                try harness.expectNothingLeft()
            }
            try harness.expectNoUnit()
        }

        /// The process that keeps the scope, too: systemd is what is left.
        @Test func hostGuardAndHolderKilledAtOnce() throws {
            for _ in 0..<max(3, rounds / 4) {
                let (host, _, _) = try startSleepers(2)
                let helpers = [try victim("cgrun-guard").pid, try victim("cgrun-holder").pid]
                host.send(.stop)
                for pid in helpers { try ProcessDescriptor(pid: pid).send(.stop) }
                for pid in helpers { try ProcessDescriptor(pid: pid).send(.kill) }
                host.send(.kill)
                _ = try host.end()
                try expectNothingButDirectories()
            }
        }

        @Test(arguments: ["cgrun-guard", "cgrun-holder"])
        func aLostHelperEndsNothing(_ name: String) throws {
            let (host, unit, _) = try startSleepers(2)
            let lost = try victim(name)
            try lost.send(.kill)
            try eventually("\(name) gone") { lost.hasEnded }
            if name == "cgrun-guard" {
                try eventually("another guard") { harness.marker.guards.contains { $0.pid != lost.pid } }
            }
            try harness.systemctl("daemon-reload")
            #expect(try harness.systemctl("is-active", unit).lines == ["active"])
            #expect(harness.marker.survivors.count { $0.command == "sleep" } == 2)
            #expect(!host.hasEnded)
            host.send(.kill)
            _ = try host.end()
            try expectNothingLeft()
        }

        @Test func stoppingTheJobsScopeLeavesTheProgram() throws {
            let (host, unit, own) = try startSleepers(2)
            try harness.systemctl("stop", unit)
            #expect(harness.marker.survivors.allSatisfy { $0.command != "sleep" })
            #expect(!host.hasEnded)
            try harness.systemctl("stop", own)
            #expect(try host.end().status == .signaled(.terminate, coreDumped: false))
            try expectNothingLeft()
        }

        @Test func stoppingTheProgramsScopeEndsBoth() throws {
            let (host, _, own) = try startSleepers(2)
            try harness.systemctl("stop", own)
            #expect(try host.end().status == .signaled(.terminate, coreDumped: false))
            try expectNothingLeft()
        }

        @Test func inAJobThereIsNothingToDo() throws {
            let arguments = ["--", Programs.host, "scope", "sequence", "10"]
            let outcome = try harness.startCgrun(arguments, environment: ["CGRUN_GUARD": Programs.guardian]).end()
            #expect(outcome.exitCode == 0, "\(outcome)")
            #expect(outcome.lines.first?.hasPrefix("scope - - /sys/fs/cgroup/") == true, "\(outcome)")
            #expect(outcome.lines.first?.contains(text: "inside the job cgrun-") == true)
            let limited = try harness.startCgrun(
                arguments, environment: ["CGRUN_GUARD": Programs.guardian, "SCOPE_LIMITS": "1"]
            ).end()
            #expect(limited.exitCode == 1)
            #expect(limited.output.contains(text: "give them to each job"), "\(limited)")
            try expectNothingLeft()
        }

        private static let limited = Capability.has("--mem") && Capability.has("--pids")

        @Test(.enabled(if: limited, "no memory and pids controllers"))
        func limitsHoldForAllJobs() throws {
            let (host, unit, _) = try startSleepers(2, environment: ["SCOPE_LIMITS": "1"])
            let shown = try harness.systemctl("show", unit, "-p", "MemoryMax", "-p", "TasksMax")
            #expect(shown.lines == ["MemoryMax=268435456", "TasksMax=101"], "\(shown)")
            let sleeper = try harness.survivor("sleep")
            let path = try Hierarchies.unifiedPath(of: sleeper.pid)
            let scope = "/sys/fs/cgroup" + path.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" }
            #expect(try readTextFile(scope + "/memory.max") == "268435456\n")
            #expect(try readTextFile(scope + "/pids.max") == "101\n")
            host.send(.kill)
            _ = try host.end()
            try expectNothingLeft()
        }

        @Test(.enabled(if: !limited, "has both controllers"))
        func limitsThatCannotBeEnforcedAreRefused() throws {
            let outcome = try start(["scope", "sleep", "1"], environment: ["SCOPE_LIMITS": "1"]).end()
            #expect(outcome.exitCode == 1)
            #expect(
                outcome.output.contains(text: "refused") && outcome.output.contains(text: "controller"), "\(outcome)")
            try expectNothingLeft()
        }

        @Test func refusalsLeaveNothing() throws {
            let unguarded = try start(["scope", "sleep", "1"], environment: ["CGRUN_GUARD": "/bin/false"]).end()
            #expect(unguarded.exitCode == 1)
            #expect(unguarded.output.contains(text: "/bin/false may be no guard"), "\(unguarded)")
            // As a user, systemd-run itself would not get there.
            if Capability.isRoot {
                let outcome = try start(
                    ["scope", "sleep", "1"], environment: ["SCOPE_USER": "1", "XDG_RUNTIME_DIR": "/nonexistent"]
                ).end()
                #expect(outcome.exitCode == 1)
                #expect(outcome.output.contains(text: "/run/user/"), "\(outcome)")
            }
            let (host, unit, _) = try startSleepers(1, environment: ["SCOPE_UNIT": "taken-\(harness.marker.text)"])
            #expect(unit == "taken-\(harness.marker.text).scope")
            let second = try start(
                ["scope", "sleep", "1"], environment: ["SCOPE_UNIT": "taken-\(harness.marker.text)"])
            let refused = try second.end()
            #expect(refused.output.contains(text: "UnitExists"), "\(refused)")
            #expect(harness.marker.survivors.count { $0.command == "sleep" } == 1)
            host.send(.kill)
            _ = try host.end()
            try expectNothingLeft()
        }
    }
}
