import FoundationEssentials
import Glibc
import SandboxValues
import SystemPackage
import Testing

@testable import CgroupSandbox
@testable import Cgroups
@testable import LinuxSystem

/// What the driver does with descriptors and processes. Its cgroup is a directory with files of the same names.
@Suite struct JobDriverTests {
    /// A home in which there is nothing to give back.
    private final class NoHome: JobHome {
        let facts = JobFacts.Home.undecided(.cgroupfs)
        let notes: [String] = []
        func plan() -> [String] { [] }
        func open(_ program: Program, _ guardian: GuardClient) throws(LaunchError) -> PlannedCgroup {
            throw LaunchError(.setup, "no home")
        }
        func start(
            _ program: Program, in cgroup: borrowing JobCgroup, _ wording: Wording
        ) throws(LaunchError) -> SpawnedProcess {
            throw LaunchError(.setup, "no home")
        }
        func outsideStop(_ signal: Signal, _ status: End?) -> OutsideStop? { nil }
        func release(wasStopped: Bool, _ letGo: () -> Void) {}
        func abandon() {}
        func clearAway(_ guardian: GuardClient, _ letGo: () -> Void) {}
    }

    private static func sleeper() throws -> ProcessDescriptor {
        let program = Program(candidates: ["/bin/sleep"], arguments: ["sleep", "60"], environment: [])
        return try program.start().takeProcess()
    }

    private final class Scene {
        let loop: EventLoop
        let driver: JobDriver
        /// What ends, other than the command, in a test.
        let other: ProcessDescriptor
        /// The same command as the driver's, by a descriptor that stays open.
        let command: SharedDescriptor
        private let parent: ParentWatch?
        private let directory: String
        /// `cgroup.kill`: a byte for each kill.
        private let kills: Descriptor

        /// - Parameter hasParent: whether the job has the other process for its parent.
        init(hasParent: Bool = false) throws {
            directory = "/tmp/cgrun-driver-test-\(Machine.randomHexadecimal())"
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            try Data("populated 0\nfrozen 0\n".utf8).write(to: URL(filePath: directory + "/cgroup.events"))
            #expect(mkfifo(directory + "/cgroup.kill", 0o600) == 0)
            kills = try Descriptor(opening: directory + "/cgroup.kill", O_RDWR | O_NONBLOCK)
            let main = try sleeper()
            other = try sleeper()
            command = SharedDescriptor(try main.descriptor.duplicate())
            loop = try EventLoop()
            let cgroup = JobCgroup(
                adopting: "not-there", path: directory, tags: [UInt8(ascii: "u")],
                parents: [try Descriptor(opening: directory, O_RDONLY | O_DIRECTORY).giveUp()],
                directories: [try Descriptor(opening: directory, O_RDONLY | O_DIRECTORY).giveUp()],
                parentSharesLimits: false)
            parent = try hasParent ? ParentWatch(other.pid) : nil
            let spec = JobSpec(["sleep"])
            driver = JobDriver(
                spec, JobFacts("0123456789abcdef", spec, .none, .unified, .undecided(.cgroupfs), .library), cgroup,
                main,
                NoHome(),
                1, try GuardedJobs(loop, areOne: true), parent, terminal: nil, session: nil, startedAt: .now)
        }

        deinit {
            try? other.send(.kill)
            _ = try? other.waitForEnd()
            kill(driver.pid, SIGKILL)
            waitpid(driver.pid, nil, 0)
            try? FileManager.default.removeItem(atPath: directory)
        }

        var killCount: Int {
            if case .bytes(let bytes) = kills.readSome(4_096) { bytes.count } else { 0 }
        }

        /// Lets the command die, and returns once that shows.
        func killCommand() {
            kill(driver.pid, SIGKILL)
            var poller = Poller()
            poller.add(command.descriptor.rawValue)
            _ = poller.wait()
        }

        /// Whether there is anything that would wake the loop's thread.
        var loopIsBusy: Bool {
            var poller = Poller()
            poller.add(loop.descriptor)
            return poller.wait(.milliseconds(20))[0]
        }
    }

    /// The parent's pidfd stays ready, while the command may take its time.
    @Test func aLostParentIsToldOnce() throws {
        let scene = try Scene(hasParent: true)
        scene.driver.begin(watchesCommand: true)
        try scene.other.send(.kill)
        scene.loop.turn()
        // Apart: what Swift Testing shows of an expectation that fails may not be what cannot be copied.
        let (kills, isBusy) = (scene.killCount, scene.loopIsBusy)
        #expect(kills == 1 && !isBusy)
        scene.killCommand()
        scene.loop.turn()
        let report = scene.driver.finalReport
        #expect(report?.cause == .parentLost)
    }

    /// A process that is forked at that moment has copies of all descriptors: those closed here would stay watched.
    @Test(arguments: [false, true]) func nothingIsWatchedAfterTheEnd(_ hasParent: Bool) throws {
        let scene = try Scene(hasParent: hasParent)
        scene.driver.begin(watchesCommand: true)
        scene.killCommand()
        scene.loop.turn()
        let report = scene.driver.finalReport
        #expect(report?.signal?.name == "SIGKILL")
        try scene.other.send(.kill)
        let isBusy = scene.loopIsBusy
        #expect(!isBusy)
    }
}
