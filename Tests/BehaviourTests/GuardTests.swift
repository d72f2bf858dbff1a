import CLinux
import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

private let rounds = ThisProcess.environmentVariable("CGRUN_TEST_ROUNDS").flatMap { Int($0) } ?? 300

extension Behaviour {
    /// No command runs without a guard that watches.
    @Suite(.onRealMachines) struct Guards {
        let harness: Harness

        init() throws { harness = try Harness() }

        // MARK: Programs that are no guards

        /// The command would leave a file.
        private func expectRefusal(by program: String, _ reason: String) throws {
            let file = harness.path("ran")
            let outcome = try harness.cgrun(
                "--", "sh", "-c", "> \(file); exec sleep 1", environment: ["CGRUN_GUARD": program])
            #expect(outcome.exitCode == 125, "\(outcome)")
            #expect(outcome.errors.split(separator: "\n").count == 1)
            #expect(outcome.errors.contains(text: reason), "\(outcome)")
            #expect(outcome.errors.contains(text: "\(program) may be no guard; set CGRUN_GUARD"), "\(outcome)")
            #expect(access(file, F_OK) != 0, "the command ran")
            try harness.expectNothingLeft()
        }

        private func script(_ name: String, _ text: String) throws -> String {
            let path = try harness.writeFile(name, "#!/bin/sh\n\(text)\n")
            chmod(path, 0o755)
            return path
        }

        @Test func programThatLeaves() throws {
            for _ in 0..<max(3, rounds / 10) {
                try expectRefusal(by: "/bin/false", "")
                try expectRefusal(by: "/bin/true", "")
            }
        }

        /// As a program does that does not find its libraries.
        @Test func programThatLeavesLater() throws {
            for moment in 1...5 {
                try expectRefusal(by: script("late", "sleep 0.00\(moment); exit 127"), "")
            }
        }

        @Test func programThatIsKilledEachTime() throws {
            try expectRefusal(by: script("crashes", "kill -KILL $$"), "")
        }

        /// It has a child, which goes with it.
        @Test(.once) func programThatSaysNothing() throws {
            try expectRefusal(by: script("hangs", "sleep 100; :"), "did not say within 5 s")
        }

        /// Nor does any other word count.
        @Test func programThatSaysSomethingElse() throws {
            try expectRefusal(by: script("talks", "echo >&3; exit 1"), "")
        }

        // MARK: In programs

        private func startHost(_ guardian: String) throws -> TestProcess {
            try harness.start([Programs.host, "try", "8"], environment: ["CGRUN_GUARD": guardian])
        }

        /// Without a guard, a program that is killed while it makes or removes a cgroup leaves that to the next sweep.
        private func expectNothingButEmptyCgroups() throws {
            try eventually("left: \(harness.marker.survivors)") { harness.marker.survivors.isEmpty }
            // A guard that is just being executed shows no environment, and holds what it was told of.
            try eventually("an empty hierarchy: \(TestCgroups.jobs)") {
                _ = try? harness.cgrun("sweep")
                return TestCgroups.jobs.isEmpty
            }
            try harness.expectNothingLeft()
        }

        private static let mayMakeCgroups: ConditionTrait = .enabled(
            if: Capability.mayMakeCgroups, "a program's jobs are directories below its own cgroup")

        @Test(mayMakeCgroups) func programsWithoutGuardStartNothing() throws {
            for round in 0..<max(10, rounds * 40 / 300) {
                let host = try startHost(round.isMultiple(of: 2) ? "/bin/false" : "/bin/true")
                if round.isMultiple(of: 4) { try host.waitForOutput("refused") }
                pause(.milliseconds(Int.random(in: 0...30)))
                host.send(.kill)
                let outcome = try host.end()
                #expect(outcome.lines.allSatisfy { $0.contains(text: " refused the guard's program ") }, "\(outcome)")
                try expectNothingButEmptyCgroups()
            }
        }

        /// Whoever notices the loss, the loop or a launch: the jobs that run are killed, and no more are started.
        @Test(mayMakeCgroups, arguments: ["/bin/false", "/bin/true", "nothing", "one that is killed"])
        func guardThatCannotBeReplaced(_ successor: String) throws {
            let program = harness.path("cgrun-guard")
            let killed = try script("killed", "kill -KILL $$")
            let replace =
                switch successor {
                case "nothing": "rm \(program)"
                case "one that is killed": "mv \(killed) \(program)"
                default: "cp \(successor) \(program).new && mv \(program).new \(program)"
                }
            for round in 0..<max(5, rounds / 20) {
                _ = try script("killed", "kill -KILL $$")
                _ = try harness.start(["sh", "-c", "rm -f \(program); cp \(Programs.guardian) \(program)"]).end()
                let host = try startHost(program)
                try host.waitForOutput("normal")
                _ = try harness.survivor("sleep")
                pause(.microseconds(Int.random(in: 0...20_000)))
                _ = try harness.start(["sh", "-c", replace]).end()
                let guardian = try ProcessDescriptor(pid: harness.survivor("cgrun-guard").pid)
                try guardian.send(.kill)
                // A host that is killed now leaves what it has not ended yet: there is no guard. Launches are refused
                // from some moment on, by one worker four times while another still waits for the end of its job.
                try eventually("every job's end in round \(round): \(harness.marker.survivors), \(host.output)") {
                    host.output.contains(text: "long refused ") && host.output.contains(text: "long guard_lost")
                        && TestCgroups.jobs.allSatisfy { ((try? readTextFile($0 + "/cgroup.procs")) ?? "").isEmpty }
                }
                host.send(.kill)
                let lines = try host.end().lines
                #expect(
                    lines.allSatisfy {
                        $0.contains(text: " refused ") || $0 == "short normal" || $0.hasSuffix(" guard_lost")
                    }, "\(lines)")
                try expectNothingButEmptyCgroups()
            }
        }

        /// The loss comes between the guard's word and the moment at which the program knows that it has a job: its
        /// command is born frozen, and the launch does not return before it goes on.
        @Test(mayMakeCgroups) func guardLostWhileACommandStarts() throws {
            let program = harness.path("cgrun-guard")
            _ = try harness.start(["cp", Programs.guardian, program]).end()
            let parent = try #require(TestCgroups.own.first) + "/frozen-\(harness.marker.text)"
            try #require(mkdir(parent, 0o755) == 0)
            let freezer = try Descriptor(opening: parent + "/cgroup.freeze", O_WRONLY)
            defer {
                try? freezer.write("0", path: parent)
                rmdir(parent)
            }
            try freezer.write("1", path: parent)
            let host = try harness.start(
                [Programs.host, "try", "1"], environment: ["CGRUN_GUARD": program, "HOST_PARENT": parent])
            try eventually("a command") { try readTextFile(parent + "/cgroup.events").contains(text: "populated 1") }

            _ = try harness.start(["rm", program]).end()
            let guardian = try ProcessDescriptor(pid: harness.survivor("cgrun-guard").pid)
            try guardian.send(.kill)
            try eventually("the guard's end") { ProcessTable.state(guardian.pid) == nil }
            // For the loop to find out that there is no other.
            pause(.milliseconds(100))
            try freezer.write("0", path: parent)
            try host.waitForOutput("long refused")
            #expect(host.output.hasPrefix("long guard_lost\n"), "\(host.output)")
            host.send(.kill)
            _ = try host.end()
            try expectNothingButEmptyCgroups()
        }

        /// A guard that can be replaced takes no job along, however many come and go meanwhile.
        @Test(mayMakeCgroups) func guardKilledAmongShortJobs() throws {
            let host = try startHost(Programs.guardian)
            var last: ProcessID = 0
            for _ in 0..<max(20, rounds / 3) {
                try eventually("another guard") { harness.marker.guards.contains { $0.pid != last } }
                last = try #require(harness.marker.guards.first { $0.pid != last }).pid
                pause(.microseconds(Int.random(in: 0...5_000)))
                try? ProcessDescriptor(pid: last).send(.kill)
            }
            try eventually("another guard") { harness.marker.guards.contains { $0.pid != last } }
            host.send(.kill)
            let lines = try host.end().lines
            #expect(lines.allSatisfy { $0 == "short normal" }, "\(Set(lines))")
            try harness.expectNothingLeft()
        }

        // MARK: The protocol, with this test as the launcher

        /// A guard whose launcher is a process that sleeps.
        private func startGuard(openFiles: Int = 64) throws -> Watched {
            let launcher = try harness.start(["sleep", "1000"])
            let ends = try SocketPair()
            try send(GUARD_WATCH, to: ends.near.rawValue) { $0.launcher = launcher.process.descriptor.rawValue }
            let null = try Descriptor(opening: "/dev/null", O_RDWR)
            var program = Program(
                candidates: ["/usr/bin/prlimit"],
                arguments: ["prlimit", "--nofile=\(openFiles)", Programs.guardian].map { ByteString($0.utf8)! },
                environment: [ByteString("\(Marker.variable)=\(harness.marker.text)".utf8)!])
            program.descriptors = [null.rawValue, null.rawValue, null.rawValue, ends.far.rawValue]
            let process = try program.start().takeProcess()
            return Watched(process: process, control: ends.keepNear(), launcher: launcher)
        }

        private struct Watched: ~Copyable {
            let process: ProcessDescriptor
            let control: Descriptor
            let launcher: TestProcess

            /// Closes the socket.
            consuming func hangUp() -> ProcessDescriptor { process }
        }

        private func send(_ kind: guard_kind, to socket: CInt, _ change: (inout guard_contents) -> Void) throws {
            var message = guard_message(kind)
            change(&message)
            try #require(guard_send(socket, &message) > 0)
        }

        @Test(arguments: [4, 5, 6])
        func guardThatCannotWatchLeaves(_ openFiles: Int) throws {
            let guardian = try startGuard(openFiles: openFiles)
            var poller = Poller()
            poller.add(guardian.control.rawValue)
            try #require(poller.wait(.seconds(20) * patience)[0])
            var message = guard_message(GUARD_DONE)
            let result = guard_receive(guardian.control.rawValue, &message)
            guardian.launcher.send(.kill)
            let status = try guardian.process.waitForEnd()
            if openFiles == 6 {
                #expect(result == 1 && message.kind == GUARD_READY)
                #expect(status == .exited(code: 0))
            } else {
                // Its launcher's pidfd does not fit, or the epoll.
                #expect(result <= 0)
                #expect(status == .exited(code: 125))
            }
        }

        /// The kernel tells the guard once that its launcher had left its word unread, before what is queued.
        @Test(mayMakeCgroups) func launcherThatDidNotReadTheAnswer() throws {
            let guardian = try startGuard()
            var poller = Poller()
            poller.add(guardian.control.rawValue)
            try #require(poller.wait(.seconds(20) * patience)[0])

            let name = "cgrun-\(harness.marker.text.prefix(16))"
            let parent = try Descriptor(opening: try #require(TestCgroups.own.first), O_RDONLY | O_DIRECTORY)
            try #require(mkdirat(parent.rawValue, name, 0o755) == 0)
            let path = try #require(Descriptor.path(of: parent.rawValue)) + "/" + name
            let directory = try Descriptor(opening: path, O_RDONLY | O_DIRECTORY)
            let killFile = try Descriptor(opening: path + "/cgroup.kill", O_WRONLY)
            let command = try harness.start(["sleep", "1000"])
            try Descriptor(opening: path + "/cgroup.procs", O_WRONLY).write("\(command.pid)", path: path)

            // So that it finds all of this at once.
            try guardian.process.send(.stop)
            try eventually("the guard to stop") { ProcessTable.state(guardian.process.pid) == "T" }
            let socket = guardian.control.rawValue
            try send(GUARD_JOB, to: socket) { message in
                (message.number, message.groups) = (1, 1)
                message.tags.0 = CChar(UInt8(ascii: "u"))
                withUnsafeMutableBytes(of: &message.name) { $0.copyBytes(from: name.utf8) }
                (message.has_parents, message.parents.0) = (true, parent.rawValue)
            }
            try send(GUARD_ARM, to: socket) { message in
                (message.number, message.groups, message.kill_file) = (1, 1, killFile.rawValue)
                (message.has_directories, message.directories.0) = (true, directory.rawValue)
            }
            guardian.launcher.send(.kill)
            let process = guardian.hangUp()
            try process.send(.continue)

            #expect(try process.waitForEnd() == .exited(code: 0))
            #expect(try command.end().status == .signaled(.kill, coreDumped: false))
            #expect(access(path, F_OK) != 0)
            try harness.expectNothingLeft()
        }

        // MARK: The finisher, with this test as the guard

        /// Starts `cgrun-finish` with this as descriptor 3.
        private func finisher(_ control: CInt) throws -> (status: LinuxSystem.ExitStatus, errors: String) {
            let file = harness.path("errors")
            let errors = try Descriptor(opening: file, O_RDWR | O_CREAT | O_TRUNC, mode: 0o600)
            let null = try Descriptor(opening: "/dev/null", O_RDWR)
            var program = Program(
                candidates: [ByteString(Programs.cgrun.utf8)!],
                arguments: ["cgrun-finish", "1", "0", "0", "NAME", "u", "5"],
                environment: [])
            program.descriptors = [null.rawValue, null.rawValue, errors.rawValue, control]
            let status = try program.start().takeProcess().waitForEnd()
            return (status, try errors.readAll(path: file))
        }

        @Test func aFinisherWithoutAGuardSaysSo() throws {
            let null = try Descriptor(opening: "/dev/null", O_RDWR)
            let silent = try SocketPair()
            let ready = try queued(guard_message(GUARD_READY))
            let garbage = try SocketPair()
            var byte: UInt8 = 7
            try #require(clinux_send(garbage.near.rawValue, &byte, 1, nil, 0) == 1)
            for control in [null.rawValue, silent.far.rawValue, ready.rawValue, garbage.far.rawValue] {
                let (status, errors) = try finisher(control)
                #expect(status == .exited(code: 125))
                #expect(errors.hasPrefix("cgrun: only a guard starts cgrun-finish"), "\(errors)")
                #expect(errors.split(separator: "\n").count == 1)
            }
            withExtendedLifetime(null) {}
            withExtendedLifetime(silent) {}
            withExtendedLifetime(ready) {}
            withExtendedLifetime(garbage) {}
        }

        private func queued(_ message: guard_contents) throws -> Descriptor {
            var message = message
            let control = guard_queue(&message)
            try #require(control >= 0)
            return Descriptor(owning: control)
        }

        /// What cannot be read is not taken for a report that is out already; but nothing of the job may be left.
        @Test(mayMakeCgroups, arguments: ["garbage", "{\"facts\": 3}", ""])
        func aFinisherEndsWhatItCannotReportOn(_ record: String) throws {
            let name = "cgrun-\(harness.marker.text.prefix(16))"
            let parent = try Descriptor(opening: try #require(TestCgroups.own.first), O_RDONLY | O_DIRECTORY)
            try #require(mkdirat(parent.rawValue, name, 0o755) == 0)
            let path = try #require(Descriptor.path(of: parent.rawValue)) + "/" + name
            let directory = try Descriptor(opening: path, O_RDONLY | O_DIRECTORY)
            let command = try harness.start(["sleep", "1000"])
            try Descriptor(opening: path + "/cgroup.procs", O_WRONLY).write("\(command.pid)", path: path)
            let file = try Descriptor.memoryFile(name: "record")
            if !record.isEmpty { try file.write(record, path: "record") }

            var message = guard_message(GUARD_FINISH)
            (message.loss, message.groups, message.record) = (GUARD_LAUNCHER_LOST, 1, file.rawValue)
            message.tags.0 = CChar(UInt8(ascii: "u"))
            withUnsafeMutableBytes(of: &message.name) { $0.copyBytes(from: name.utf8) }
            (message.has_parents, message.parents.0) = (true, parent.rawValue)
            (message.has_directories, message.directories.0) = (true, directory.rawValue)
            let control = try queued(message)
            let (status, errors) = try finisher(control.rawValue)
            withExtendedLifetime(file) {}
            withExtendedLifetime(control) {}
            #expect(status == .exited(code: record.isEmpty ? 0 : 125))
            #expect(
                record.isEmpty ? errors == "" : errors.hasPrefix("cgrun: what the launcher has written down of the job")
            )
            #expect(errors.split(separator: "\n").count == (record.isEmpty ? 0 : 1), "\(errors)")
            #expect(try command.end().status == .signaled(.kill, coreDumped: false))
            #expect(access(path, F_OK) != 0)
            try harness.expectNothingLeft()
        }

        // MARK: A guard that is stopped

        /// It is a while until it is given up and replaced; until then nobody waits for it.
        @Test(mayMakeCgroups) func aStoppedGuardDelaysNoTimeLimit() async throws {
            var spec = JobSpec(["sleep", "1000"])
            spec.setEnvironment(ByteString("\(Marker.variable)=\(harness.marker.text)".utf8)!)
            let others = try (0..<400).map { _ in try Job.start(spec) }
            spec.timeout = .milliseconds(500)
            let timed = try Job.start(spec)
            let guardian = try #require(
                Marker.allProcesses.first { pid in
                    ProcessTable.commandName(pid) == "cgrun-guard"
                        && ProcessTable.field(1, of: "\(pid)") == "\(ThisProcess.id)"
                })
            try ProcessDescriptor(pid: guardian).send(.stop)
            try eventually("the guard to stop") { ProcessTable.state(guardian) == "T" }
            // More ends than its socket takes.
            for job in others { job.kill() }
            #expect(await timed.waitForEnd().cause == .timeoutWall)
            for job in others { #expect(await job.waitForEnd().cause != .normal) }
            #expect(ProcessTable.state(guardian) == "T", "the one that was stopped is still the guard")
            try? ProcessDescriptor(pid: guardian).send(.continue)
            #expect(try await run(JobSpec(["true"]), output: .discarded).isSuccess)
            try harness.expectNothingLeft()
        }
    }
}
