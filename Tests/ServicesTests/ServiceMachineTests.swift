import CgroupSandbox
import LinuxSystem
import SandboxValues
import Testing

@testable import Services

/// The rules by which a service goes from state to state, without a kernel.
@Suite struct ServiceMachineTests {
    typealias Machine = ServiceMachine
    static let start = BootTime(sinceBoot: .seconds(1_000))

    static func spec(_ change: (inout ServiceSpec) -> Void = { _ in }) -> ServiceSpec {
        guard let name = try? ServiceName("web") else { preconditionFailure("this is a name") }
        var spec = ServiceSpec(name, LaunchSpec(JobSpec(["true"])))
        spec.readiness = .delay(.seconds(1))
        change(&spec)
        return spec
    }

    /// A machine, and the time in it.
    struct World {
        var machine: Machine
        var now = ServiceMachineTests.start
        var log: [Machine.Action] = []

        init(_ spec: ServiceSpec, _ memory: Machine.Memory = .init()) { machine = Machine(spec, memory) }

        /// What cannot be started is told by `refusal`.
        mutating func perform(_ actions: [Machine.Action], refusal: String? = nil) {
            log += actions
            for action in actions where action == .launch {
                perform(machine.handle(refusal.map { .refused($0) } ?? .launched, at: now))
            }
        }

        mutating func send(_ event: Machine.Event, after time: Duration = .zero, refusal: String? = nil) {
            now = now + time
            perform(machine.handle(event, at: now), refusal: refusal)
        }

        mutating func begin(refusal: String? = nil) { perform(machine.begin(), refusal: refusal) }
        mutating func beReady() { send(.time, after: .seconds(1)) }

        mutating func fail(after time: Duration) {
            send(.ended(.init(isSuccess: false, text: "exited with 1")), after: time)
        }

        /// How long the pause before the next start is.
        var pause: Duration? { machine.deadline.map { $0 - now } }
    }

    static func running(_ change: (inout ServiceSpec) -> Void = { _ in }) -> World {
        var world = World(spec(change))
        world.begin()
        world.beReady()
        world.log = []
        return world
    }

    @Test func startsAndIsReady() {
        var world = World(Self.spec())
        world.begin()
        #expect(world.machine.state == .starting && world.log == [.publish, .launch, .watchReadiness, .publish])
        world.send(.time, after: .milliseconds(999))
        #expect(world.machine.state == .starting, "not before its time")
        world.send(.time, after: .milliseconds(1))
        #expect(world.machine.state == .running && world.machine.memory.isReady)
        #expect(world.machine.deadline == nil)
    }

    @Test func readinessThatDoesNotComeIsAFailure() {
        var world = World(Self.spec { ($0.readiness, $0.readyTimeout) = (.notify, .seconds(5)) })
        world.begin()
        world.send(.time, after: .seconds(5))
        #expect(world.machine.state == .stopping && world.log.last == .publish && world.log.contains(.stopJob))
        world.fail(after: .zero)
        #expect(world.machine.state == .backoff && world.machine.memory.reason == "was not ready within 5.0s")
    }

    @Test func stopsOnlyWhenNothingIsLeft() {
        var world = Self.running()
        world.send(.stop)
        #expect(world.machine.state == .stopping && world.log == [.stopJob, .publish])
        world.fail(after: .seconds(1))
        #expect(world.machine.state == .stopped && world.log.last == .finish)
    }

    @Test func restartWaitsForTheEnd() {
        var world = Self.running()
        world.send(.restart)
        #expect(!world.log.contains(.launch))
        world.fail(after: .seconds(1))
        #expect(world.machine.state == .starting && world.log.contains(.launch))
        #expect(world.machine.memory.restarts == 0 && world.machine.memory.starts == 2)
        #expect(world.machine.memory.failures.isEmpty, "what was asked for is no failure")
    }

    @Test func aStopWinsOverARestart() {
        var world = Self.running()
        world.send(.restart)
        world.send(.stop)
        #expect(world.machine.memory.intent == .stop && world.log.last == .publish, "a later keeper knows, too")
        world.fail(after: .zero)
        #expect(world.machine.state == .stopped)
    }

    @Test func aStartDuringAStopStartsAnew() {
        var world = Self.running()
        world.send(.stop)
        world.send(.start)
        world.fail(after: .zero)
        #expect(world.machine.state == .starting)
    }

    @Test(arguments: [
        (RestartRules.Policy.no, ServiceState.failed, false), (.no, .exited, true), (.onFailure, .backoff, false),
        (.onFailure, .exited, true), (.always, .backoff, false), (.always, .backoff, true),
    ])
    func policies(_ policy: RestartRules.Policy, _ state: ServiceState, _ isSuccess: Bool) {
        var world = Self.running { $0.restart.policy = policy }
        world.send(.ended(.init(isSuccess: isSuccess, text: "ended")), after: .seconds(1))
        #expect(world.machine.state == state)
    }

    @Test func pausesDoubleUpToTheLongest() {
        var world = Self.running { $0.restart.giveUpAfter = nil }
        var pauses: [Duration] = []
        for _ in 0..<8 {
            world.fail(after: .seconds(1))
            pauses.append(world.pause!)
            world.send(.time, after: world.pause!)
            #expect(world.machine.state == .starting)
        }
        #expect(pauses.map { Int($0.seconds.rounded()) } == [1, 2, 4, 8, 16, 32, 60, 60])
        // A time of health makes them begin anew.
        world.beReady()
        world.fail(after: .seconds(60))
        #expect(world.pause! <= .seconds(1))
    }

    @Test func jitterOnlyShortens() {
        for jitter in [0, 0.5, 1] {
            var world = Self.running()
            _ = world.machine.handle(
                .ended(.init(isSuccess: false, text: "")), at: world.now, jitter: jitter)
            #expect(world.pause! <= .seconds(1) && world.pause! >= .milliseconds(800))
        }
    }

    /// Failures are counted in a window that slides, however long the service has run well before.
    @Test func givesUp() {
        var world = Self.running { ($0.restart.giveUpAfter, $0.restart.giveUpWithin) = (3, .seconds(100)) }
        world.fail(after: .seconds(1_000_000))
        world.send(.start)
        world.fail(after: .seconds(1))
        world.send(.start)
        // The first two are too long ago.
        world.fail(after: .seconds(100))
        #expect(world.machine.state == .backoff)
        world.send(.start)
        world.fail(after: .seconds(1))
        #expect(world.machine.state == .backoff)
        world.send(.start)
        world.fail(after: .seconds(1))
        #expect(world.machine.state == .failed && world.log.last == .finish)
        #expect(world.machine.memory.reason?.contains("3 times within 100") == true)
    }

    @Test func whatNeverStartedIsNotTriedAgain() {
        var world = World(Self.spec())
        world.begin(refusal: "no such command")
        #expect(world.machine.state == .failed && world.machine.memory.reason == "no such command")
        // What has run before may run again.
        var later = Self.running()
        later.fail(after: .seconds(1))
        later.send(.time, after: later.pause!, refusal: "no memory")
        #expect(later.machine.state == .backoff && later.machine.memory.reason == "no memory")
    }

    @Test func inBackoff() {
        for (event, state) in [(Machine.Event.stop, ServiceState.stopped), (.start, .starting), (.restart, .starting)] {
            var world = Self.running()
            world.fail(after: .seconds(1))
            world.send(event)
            #expect(world.machine.state == state)
        }
    }

    /// Nothing is started beside processes that do not die.
    @Test func survivors() {
        var world = Self.running()
        world.send(.restart)
        world.send(.ended(.init(isSuccess: false, text: "left", hasSurvivors: true)))
        #expect(world.machine.state == .failed && !world.log.contains(.launch))
    }

    /// Where something tells readiness, an end before it is none of a service that did well.
    @Test func endsBeforeItIsReady() {
        var world = World(Self.spec { $0.readiness = .notify })
        world.begin()
        world.send(.ended(.init(isSuccess: true, text: "exited with 0")))
        #expect(world.machine.state == .backoff)
        #expect(world.machine.memory.reason == "exited with 0 before it was ready")
        var oneShot = World(Self.spec())
        oneShot.begin()
        oneShot.send(.ended(.init(isSuccess: true, text: "exited with 0")))
        #expect(oneShot.machine.state == .exited)
    }

    /// Signs of life count from readiness on, and their absence is a failure.
    @Test func watchdog() {
        var world = World(Self.spec { $0.watchdog = .seconds(10) })
        world.begin()
        world.send(.alive)
        #expect(world.pause == .seconds(1), "until it is ready, only that counts")
        world.beReady()
        world.send(.alive, after: .seconds(9))
        world.send(.time, after: .seconds(9))
        #expect(world.machine.state == .running && world.pause == .seconds(1))
        world.send(.time, after: .seconds(1))
        #expect(world.machine.state == .stopping && world.log.contains(.stopJob))
        world.fail(after: .zero)
        #expect(world.machine.memory.reason == "gave no sign of life within 10.0s (--watchdog)")
        #expect(world.machine.state == .backoff)
        // What says itself that it is unwell is stopped at once; without a watchdog nobody has asked.
        var unwell = Self.running { $0.watchdog = .seconds(10) }
        unwell.send(.unwell)
        #expect(unwell.machine.state == .stopping)
        var unasked = Self.running()
        unasked.send(.unwell)
        #expect(unasked.machine.state == .running && unasked.machine.deadline == nil)
        // A later keeper has heard nothing yet.
        var memory = Machine.Memory()
        (memory.state, memory.starts, memory.wasLaunched) = (.running, 1, true)
        var adopted = World(Self.spec { $0.watchdog = .seconds(10) }, memory)
        adopted.now = Self.start + .seconds(100)
        adopted.perform(adopted.machine.resume(launchedAt: Self.start, at: adopted.now))
        #expect(adopted.pause == .seconds(10))
        // One that cannot hear the command takes its silence for nothing, until it starts the next.
        var deaf = World(Self.spec { $0.watchdog = .seconds(10) }, memory)
        deaf.machine = Machine(Self.spec { $0.watchdog = .seconds(10) }, memory, hearsNothing: true)
        deaf.perform(deaf.machine.resume(launchedAt: Self.start, at: deaf.now))
        #expect(deaf.machine.deadline == nil)
        deaf.fail(after: .seconds(1))
        deaf.send(.time, after: .seconds(1))
        deaf.beReady()
        #expect(deaf.machine.state == .running && deaf.pause == .seconds(10))
    }

    /// A later keeper goes on where the earlier one was lost.
    @Test func resumes() {
        func memory(_ state: ServiceState, _ intent: Machine.Intent? = nil) -> Machine.Memory {
            var memory = Machine.Memory()
            (memory.state, memory.intent, memory.starts, memory.wasLaunched) = (state, intent, 1, true)
            return memory
        }
        var running = World(Self.spec(), memory(.running))
        running.perform(running.machine.resume(launchedAt: Self.start, at: Self.start))
        #expect(running.machine.state == .running && running.log == [.publish])
        var starting = World(Self.spec(), memory(.starting))
        starting.perform(starting.machine.resume(launchedAt: Self.start, at: Self.start))
        starting.beReady()
        #expect(starting.machine.state == .running)
        for (intent, state) in [(Machine.Intent.stop, ServiceState.stopped), (.restart, .starting)] {
            var stopping = World(Self.spec(), memory(.stopping, intent))
            stopping.perform(stopping.machine.resume(launchedAt: Self.start, at: Self.start))
            #expect(stopping.log == [.stopJob])
            stopping.fail(after: .zero)
            #expect(stopping.machine.state == state)
        }
    }

    @Test func names() throws {
        for name in ["web", "php-fpm8.2", "a@b_c", "1", String(repeating: "x", count: 50)] {
            #expect(try ServiceName(name).description == name)
        }
        for name in ["", "-a", ".a", "a/b", "a b", "ä", "a\n", String(repeating: "x", count: 51)] {
            #expect(throws: LimitSyntaxError.self) { try ServiceName(name) }
        }
    }
}
