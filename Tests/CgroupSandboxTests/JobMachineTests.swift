import Cgroups
import SandboxValues
import Testing

@testable import CgroupSandbox
@testable import LinuxSystem

/// Every ending, without a kernel.
@Suite struct JobMachineTests {
    /// What happens so many milliseconds after the start.
    typealias Step = (at: Int, JobMachine.Event)

    /// A world that answers what the machine asks, and writes down what it does.
    struct World {
        var machine: JobMachine
        /// What looks at the tree find, one after the other; the last one again and again.
        var trees: [TreeEnding.Tree] = [.empty]
        var removals = [true]
        var cpuTimes: [Duration?] = [.zero]
        private(set) var log: [String] = []
        private(set) var now = Self.start
        private(set) var isStuck = false

        static let start = BootTime(sinceBoot: .seconds(1_000))

        init(_ rules: JobMachine.Rules = JobMachine.Rules()) { machine = JobMachine(rules, startedAt: Self.start) }
        init(finishing reason: StopReason) { machine = JobMachine(finishing: reason, at: Self.start) }

        private static func next<Value>(_ values: inout [Value]) -> Value {
            values.count > 1 ? values.removeFirst() : values[0]
        }

        mutating func begin() { perform(machine.begin(at: now)) }
        mutating func send(_ event: JobMachine.Event) { perform(machine.handle(event, at: now)) }

        private mutating func perform(_ actions: [JobMachine.Action]) {
            for action in actions {
                log.append("\(action)")
                switch action {
                case .look: send(.tree(Self.next(&trees)))
                case .remove: send(.removal(succeeded: Self.next(&removals)))
                case .readCPUTime: send(.cpuTime(Self.next(&cpuTimes)))
                default: break
                }
            }
        }

        /// Lets the time pass, and the deadlines come that lie in it.
        mutating func advance(to moment: BootTime) {
            var turns = 0
            while let deadline = machine.deadline, deadline <= moment, !machine.isOver {
                turns += 1
                guard turns < 100_000 else {
                    Issue.record("a deadline that is always over")
                    isStuck = true
                    return
                }
                now = max(now, deadline)
                send(.time)
            }
            now = moment
        }

        mutating func run(_ steps: [Step], forAnother rest: Duration = .seconds(100)) {
            begin()
            for step in steps {
                advance(to: Self.start + .milliseconds(step.at))
                send(step.1)
            }
            advance(to: now + rest)
        }

        /// What was done, in a row; the same again and again as one.
        var story: String {
            var words: [String] = []
            for word in log where words.last != word { words.append(word) }
            return words.joined(separator: " ")
        }
    }

    private static func rules(_ change: (inout JobMachine.Rules) -> Void) -> JobMachine.Rules {
        var rules = JobMachine.Rules()
        change(&rules)
        return rules
    }

    struct Row: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var rules = JobMachine.Rules()
        var steps: [(at: Int, JobMachine.Event)]
        var trees: [TreeEnding.Tree] = [.empty]
        var removals = [true]
        var cpuTimes: [Duration] = [.zero]
        var story: String
        var stop: StopReason?
        var escalated = false
        var isGone = true
    }

    private static let tidy = "look report remove deliver release"
    private static let asked = "signal(SIGTERM) signal(SIGCONT)"
    private static let killed = "look kill look report remove deliver release"

    static let endings = [
        Row(testDescription: "normal", steps: [(5, .commandEnded(.exit(0)))], story: tidy),
        Row(testDescription: "nobody learns how", steps: [(5, .commandEnded(nil))], story: tidy),
        Row(
            testDescription: "strays", steps: [(5, .commandEnded(.exit(0)))],
            trees: [.populated, .populated, .empty],
            story: "look nameStrays kill look nameStrays kill look report remove deliver release"),
        Row(
            testDescription: "nobody can tell for a while", steps: [(5, .commandEnded(.exit(0)))],
            trees: [.unknown, .empty], story: killed),
        Row(
            testDescription: "the groups are busy", steps: [(5, .commandEnded(.exit(0)))],
            removals: [false, false, true], story: "look report remove kill remove kill remove deliver release"),
        Row(
            testDescription: "the groups stay busy", steps: [(5, .commandEnded(.exit(0)))], removals: [false],
            story: "…", isGone: true),
        Row(
            testDescription: "timeout", rules: rules { $0.timeout = .milliseconds(100) },
            steps: [(150, .commandEnded(.killed(by: .terminate)))], story: "\(asked) \(tidy)", stop: .timeoutWall),
        Row(
            testDescription: "timeout, deaf", rules: rules { $0.timeout = .milliseconds(100) },
            steps: [(5_200, .commandEnded(.killed(by: .kill)))], story: "\(asked) nameBlocking kill \(tidy)",
            stop: .timeoutWall,
            escalated: true),
        Row(
            testDescription: "timeout, by the guard", rules: rules { $0.timeout = .seconds(100) },
            steps: [(150, .killedByGuard), (150, .commandEnded(.killed(by: .kill)))], story: "kill \(tidy)",
            stop: .timeoutWall, escalated: true),
        Row(
            testDescription: "timeout without grace",
            rules: rules { ($0.timeout, $0.grace) = (.milliseconds(100), .zero) },
            steps: [(101, .commandEnded(.killed(by: .kill)))], story: "kill \(tidy)", stop: .timeoutWall,
            escalated: true),
        Row(
            testDescription: "CPU time",
            rules: rules { ($0.cpuTimeout, $0.processors) = (.milliseconds(100), 2) },
            steps: [(200, .commandEnded(.killed(by: .terminate)))],
            cpuTimes: [.milliseconds(90), .milliseconds(101)],
            story: "readCPUTime \(asked) \(tidy)", stop: .timeoutCPU),
        Row(
            testDescription: "stop", steps: [(5, .stop(.caller)), (10, .commandEnded(.exit(0)))],
            story: "\(asked) \(tidy)", stop: .caller),
        Row(
            testDescription: "stop, all", rules: rules { $0.stopsAll = true },
            steps: [(5, .stop(.caller)), (10, .commandEnded(.exit(0)))], trees: [.populated, .populated, .empty],
            story: "\(asked) signalTree(SIGTERM) \(tidy)", stop: .caller),
        Row(
            testDescription: "stop, all, one is deaf", rules: rules { $0.stopsAll = true },
            steps: [(5, .stop(.caller)), (10, .commandEnded(.exit(0))), (5_004, .time), (5_005, .time)],
            trees: [TreeEnding.Tree](repeating: .populated, count: 61) + [.empty],
            story: "\(asked) signalTree(SIGTERM) look nameBlocking nameStrays kill look nameStrays kill \(tidy)",
            stop: .caller,
            escalated: true
        ),
        Row(
            testDescription: "stop, the command alone", steps: [(5, .stop(.caller)), (10, .commandEnded(.exit(0)))],
            trees: [.populated, .empty], story: "\(asked) look nameStrays kill \(tidy)", stop: .caller),
        Row(
            testDescription: "stop, the command first", rules: rules { $0.asksStrays = true },
            steps: [(5, .stop(.caller)), (10, .commandEnded(.exit(0)))], trees: [.populated, .populated, .empty],
            story: "\(asked) look nameStrays signalTree(SIGTERM) \(tidy)", stop: .caller),
        Row(
            testDescription: "strays are asked", rules: rules { $0.asksStrays = true },
            steps: [(5, .commandEnded(.exit(0)))], trees: [.populated, .populated, .empty],
            story: "look nameStrays signalTree(SIGTERM) \(tidy)"),
        Row(
            testDescription: "deaf strays are killed",
            rules: rules { ($0.asksStrays, $0.grace) = (true, .microseconds(20)) },
            steps: [(5, .commandEnded(.exit(0)))], trees: [.populated, .populated, .empty],
            story: "look nameStrays signalTree(SIGTERM) look nameStrays kill \(tidy)"),
        Row(
            testDescription: "all are waited for", rules: rules { $0.waitsForAll = true },
            steps: [(5, .commandEnded(.exit(0)))],
            trees: [TreeEnding.Tree](repeating: .populated, count: 200) + [.empty], story: tidy),
        Row(
            testDescription: "all are waited for until the timeout",
            rules: rules { ($0.waitsForAll, $0.timeout) = (true, .milliseconds(100)) },
            steps: [(5, .commandEnded(.exit(0)))],
            trees: [TreeEnding.Tree](repeating: .populated, count: 20) + [.empty],
            story: "look signalTree(SIGTERM) \(tidy)", stop: .timeoutWall),
        Row(
            testDescription: "all are waited for, and the parent is lost", rules: rules { $0.waitsForAll = true },
            steps: [(5, .commandEnded(.exit(0))), (6, .stop(.parentLost))],
            trees: [TreeEnding.Tree](repeating: .populated, count: 6) + [.empty],
            story: "look nameStrays kill look nameStrays kill \(tidy)", stop: .parentLost,
            escalated: true),
        Row(
            testDescription: "asked by a manager",
            steps: [(5, .askedElsewhere), (5, .commandEnded(.killed(by: .terminate)))],
            trees: [.populated, .populated, .empty], story: tidy),
        Row(
            testDescription: "asked by a manager, and deaf", rules: rules { $0.grace = .microseconds(20) },
            steps: [(5, .askedElsewhere), (5, .commandEnded(.killed(by: .terminate)))],
            trees: [.populated, .populated, .empty], story: "look nameStrays kill \(tidy)"),
        Row(
            testDescription: "stop, another signal", rules: rules { $0.stopSignal = .interrupt },
            steps: [(5, .stop(.caller)), (10, .commandEnded(.exit(0)))],
            story: "signal(SIGINT) signal(SIGCONT) \(tidy)", stop: .caller),
        Row(
            testDescription: "stop twice",
            steps: [(5, .stop(.caller)), (6, .stop(.caller)), (7, .commandEnded(.exit(0)))],
            story: "\(asked) \(asked) \(tidy)", stop: .caller),
        Row(
            testDescription: "stop, deaf", steps: [(5, .stop(.caller)), (5_010, .commandEnded(.killed(by: .kill)))],
            story: "\(asked) nameBlocking kill \(tidy)", stop: .caller, escalated: true),
        Row(
            testDescription: "cancelled", steps: [(5, .stop(.cancelled)), (6, .commandEnded(.exit(1)))],
            story: "\(asked) \(tidy)", stop: .cancelled),
        Row(
            testDescription: "killed by the caller", steps: [(5, .kill), (6, .commandEnded(.killed(by: .kill)))],
            story: "kill \(tidy)", stop: .caller, escalated: true),
        Row(
            testDescription: "parent lost", steps: [(5, .stop(.parentLost)), (6, .commandEnded(.killed(by: .kill)))],
            story: "kill \(tidy)", stop: .parentLost, escalated: true),
        Row(
            testDescription: "parent lost during a stop",
            steps: [(5, .stop(.caller)), (6, .stop(.parentLost)), (7, .commandEnded(.killed(by: .kill)))],
            story: "\(asked) kill \(tidy)", stop: .parentLost, escalated: true),
        Row(
            testDescription: "guard lost", steps: [(5, .stop(.guardLost)), (6, .commandEnded(.killed(by: .kill)))],
            story: "kill \(tidy)", stop: .guardLost, escalated: true),
        Row(
            testDescription: "a request after a loss changes nothing",
            steps: [(5, .stop(.guardLost)), (6, .stop(.caller)), (7, .commandEnded(.killed(by: .kill)))],
            story: "kill \(tidy)", stop: .guardLost, escalated: true),
        Row(
            testDescription: "what comes after the command's end changes nothing",
            steps: [
                (5, .commandEnded(.exit(0))), (5, .stop(.caller)), (6, .stop(.parentLost)), (7, .kill), (8, .time),
            ],
            story: tidy),
        Row(
            testDescription: "unkillable strays", steps: [(5, .commandEnded(.exit(0)))], trees: [.populated],
            story: "…", isGone: false),
        Row(
            testDescription: "a command that does not die", steps: [(5, .kill)], trees: [.populated],
            story: "kill look nameUnkillable report deliver release", stop: .caller, escalated: true, isGone: false),
        Row(
            testDescription: "nobody can tell", steps: [(5, .commandEnded(.exit(0)))], trees: [.unknown], story: "…",
            isGone: false),
    ]

    @Test(arguments: endings) func endsSo(_ row: Row) {
        var world = World(row.rules)
        (world.trees, world.removals, world.cpuTimes) = (row.trees, row.removals, row.cpuTimes)
        world.run(row.steps)
        if row.story != "…" { #expect(world.story == row.story) }
        #expect(world.machine.isOver && world.log.last == "release")
        #expect(world.log.filter { $0 == "release" }.count == 1 && world.log.filter { $0 == "report" }.count == 1)
        #expect(world.machine.stop?.reason == row.stop && world.machine.stop?.escalated ?? false == row.escalated)
        #expect((world.machine.emptyAfter != nil) == row.isGone)
    }

    /// How long anybody is waited for.
    @Test func boundsHold() {
        func end(_ rules: JobMachine.Rules, _ steps: [Step], _ change: (inout World) -> Void) -> (World, Duration) {
            var world = World(rules)
            change(&world)
            world.begin()
            for step in steps {
                world.advance(to: World.start + .milliseconds(step.at))
                world.send(step.1)
            }
            for _ in 0..<100_000 where !world.machine.isOver && !world.isStuck {
                world.advance(to: world.machine.deadline ?? world.now)
            }
            return (world, world.now - World.start)
        }
        let rules = JobMachine.Rules()
        // Ten seconds from the kill for a command, and from its end for what it leaves; then it is told.
        let (stuck, stuckFor) = end(rules, [(0, .kill)]) { $0.trees = [.populated] }
        #expect(stuckFor == .seconds(10) && stuck.machine.emptyAfter == nil && stuck.machine.wroteKill)
        let (left, leftFor) = end(rules, [(1_000, .commandEnded(.exit(0)))]) { $0.trees = [.populated] }
        #expect((Duration.seconds(11) ... .milliseconds(11_100)).contains(leftFor) && left.machine.wroteKill)
        // Grace, then the kill.
        let (deaf, deafFor) = end(Self.rules { $0.grace = .seconds(2) }, [(0, .stop(.caller))]) {
            $0.trees = [.populated]
        }
        #expect(deafFor == .seconds(12) && deaf.machine.killedAt == World.start + .seconds(2))
        // Another kill, or another request, gives nobody more time; strays have theirs from the command's end.
        let (_, twiceFor) = end(rules, [(0, .kill), (5_000, .kill)]) { $0.trees = [.populated] }
        #expect(twiceFor == .seconds(10))
        let (asked, _) = end(Self.rules { $0.grace = .seconds(2) }, [(0, .stop(.caller)), (1_500, .stop(.caller))]) {
            _ in
        }
        #expect(asked.machine.killedAt == World.start + .seconds(2))
        let (_, lateFor) = end(rules, [(0, .kill), (9_000, .commandEnded(.killed(by: .kill)))]) {
            $0.trees = [.populated]
        }
        #expect((Duration.seconds(19) ... .milliseconds(19_100)).contains(lateFor))
        // Cgroups that stay are left after as long.
        let (busy, busyFor) = end(rules, [(0, .commandEnded(.exit(0)))]) { $0.removals = [false] }
        #expect((Duration.seconds(10) ... .milliseconds(10_100)).contains(busyFor))
        #expect(busy.log.suffix(3) == ["noteLeftover", "deliver", "release"])
        // Looks come soon, and then less and less often.
        let looks = left.log.filter { $0 == "look" }.count
        #expect((100...2_000).contains(looks), "\(looks)")
    }

    @Test func cpuTimeIsReadWhenItMayBeUsedUp() {
        var world = World(Self.rules { ($0.cpuTimeout, $0.processors) = (.seconds(8), 4) })
        world.cpuTimes = [.seconds(4), .milliseconds(7_900), .milliseconds(7_999), .seconds(8)]
        #expect(world.machine.deadline == World.start + .seconds(2))
        world.advance(to: World.start + .seconds(2))
        #expect(world.machine.deadline == World.start + .seconds(3))
        world.advance(to: World.start + .seconds(3))
        #expect(world.machine.deadline == World.start + .milliseconds(3_025))
        world.advance(to: World.start + .milliseconds(3_025))
        // Not more often than every five milliseconds.
        #expect(world.machine.deadline == World.start + .milliseconds(3_030))
        world.advance(to: World.start + .milliseconds(3_030))
        #expect(world.machine.stop?.reason == .timeoutCPU)
    }

    @Test func cpuTimeThatCannotBeReadIsReadAgain() {
        var world = World(Self.rules { $0.cpuTimeout = .seconds(1) })
        world.cpuTimes = [nil, .seconds(1)]
        world.advance(to: World.start + .seconds(1))
        #expect(world.machine.stop == nil && world.machine.deadline == World.start + .seconds(2))
        world.advance(to: World.start + .seconds(2))
        #expect(world.machine.stop?.reason == .timeoutCPU)
    }

    /// What reports say of a stop.
    @Test func aStopIsToldAsItWasAskedFor() {
        var world = World(
            Self.rules { ($0.stopSignal, $0.grace, $0.cpuTimeout) = (.interrupt, .seconds(2), .seconds(1)) })
        world.send(.stop(.timeoutWall))
        #expect(world.machine.stop?.signal == .interrupt && world.machine.stop?.grace == .seconds(2))
        // Neither a kill nor another limit explains the end better.
        world.send(.cpuTime(.seconds(1)))
        world.send(.kill)
        #expect(world.log == ["signal(SIGINT)", "signal(SIGCONT)", "kill"])
        #expect(world.machine.stop?.reason == .timeoutWall && world.machine.stop?.escalated == true)
    }

    @Test func theEndIsTimed() {
        var killed = World()
        killed.trees = [.populated, .empty]
        killed.run([(5, .kill), (1_005, .commandEnded(.killed(by: .kill)))])
        #expect(killed.machine.endedAt == World.start + .milliseconds(1_005))
        #expect(killed.machine.emptyAfter.map { $0 > .seconds(1) && $0 < .milliseconds(1_001) } == true)
        var strays = World()
        strays.trees = [.populated, .empty]
        strays.run([(1_000, .commandEnded(.exit(0)))])
        #expect(strays.machine.emptyAfter.map { $0 > .zero && $0 < .milliseconds(1) } == true)
        var unseen = World()
        unseen.trees = [.unknown]
        unseen.run([(5, .commandEnded(.exit(0)))])
        #expect(!unseen.machine.wroteKill, "nobody knows whether there was anything to kill")
    }

    /// The driver says that time has passed whenever a timer of its own has.
    @Test func beforeItsTimeNothingIsTried() {
        var world = World()
        (world.trees, world.removals) = ([.populated, .populated, .empty], [false, true])
        world.send(.commandEnded(.exit(0)))
        for last in ["kill", "kill", "kill"] {
            let count = world.log.count
            world.send(.time)
            #expect(world.log.count == count && world.log.last == last)
            guard let deadline = world.machine.deadline else { break }
            // A removal is tried as soon, and as often, as a look was.
            if world.log.contains("remove") { #expect(deadline - world.now == .microseconds(50)) }
            world.advance(to: deadline)
        }
        #expect(world.machine.isOver)
    }

    @Test func theEarlierOfTwoLimitsCounts() {
        for (wall, cpu, reason) in [(1, 2, StopReason.timeoutWall), (2, 1, .timeoutCPU)] {
            var world = World(Self.rules { ($0.timeout, $0.cpuTimeout) = (.seconds(wall), .seconds(cpu)) })
            world.cpuTimes = [.seconds(1)]
            world.advance(to: World.start + .milliseconds(1_500))
            #expect(world.machine.stop?.reason == reason)
        }
    }

    /// The loop may stop a job for want of a guard before its launch has got as far as to begin.
    @Test func aStopBeforeTheBeginningWaitsForTheCommand() {
        var world = World()
        world.send(.stop(.guardLost))
        world.run([(1, .commandEnded(.killed(by: .kill)))])
        #expect(world.story == "kill \(Self.tidy)")
        #expect(world.machine.status == .killed(by: .kill))
    }

    // MARK: Frozen jobs

    @Test func aFrozenJobIsThawedForItsSignal() {
        var world = World()
        #expect(world.machine.mayBeFrozen)
        world.machine.isFrozen = true
        world.send(.stop(.caller))
        #expect(world.log == ["thaw", "signal(SIGTERM)", "signal(SIGCONT)"])
        #expect(!world.machine.mayBeFrozen && !world.machine.isFrozen)
        var killed = World()
        killed.machine.isFrozen = true
        killed.send(.kill)
        #expect(killed.log == ["kill"], "a kill reaches frozen processes")
    }

    // MARK: The finisher

    @Test(arguments: [StopReason.launcherLost, .parentLost]) func theFinisherEndsWhatTheGuardKilled(_ loss: StopReason)
    {
        var world = World(finishing: loss)
        world.trees = [.populated, .empty]
        world.run([])
        #expect(world.story == "look kill look report remove deliver release")
        #expect(world.machine.stop?.reason == loss && world.machine.wroteKill && world.machine.status == nil)
        #expect(world.machine.stop?.escalated == true && world.machine.killedAt == World.start)
    }

    /// A job can make its cgroup unreadable for ever.
    @Test func theFinisherDoesNotWaitForWhatItCannotSee() {
        var world = World(finishing: .launcherLost)
        world.trees = [.unknown]
        world.run([], forAnother: .seconds(50))
        #expect(world.machine.isOver && world.log.filter { $0 == "deliver" }.count == 1)
        #expect(world.now - World.start < .seconds(60))
        // Looks that fail now and then are no blindness.
        var flickering = World(finishing: .launcherLost)
        flickering.trees = [.unknown, .populated]
        for _ in 0..<8 { flickering.trees += flickering.trees }
        flickering.trees += [.populated]
        flickering.run([], forAnother: .seconds(80))
        #expect(!flickering.machine.isOver)
    }

    /// The report is out after ten seconds, and the finisher stays until the last process is dead.
    @Test func theFinisherOutlastsTheTree() {
        var world = World(finishing: .launcherLost)
        world.trees = [.populated]
        world.run([], forAnother: .seconds(50))
        #expect(!world.machine.isOver && world.log.filter { $0 == "deliver" }.count == 1)
        // It has nothing else to do, and need not look as often.
        let looks = world.log.filter { $0 == "look" }.count
        world.advance(to: world.now + .seconds(20))
        #expect(world.log.filter { $0 == "look" }.count - looks <= 20)
        // Nor is it in a hurry to leave the cgroups to others.
        (world.trees, world.removals) = ([.empty], [false])
        world.advance(to: world.now + .seconds(20))
        #expect(!world.machine.isOver)
        world.removals = [true]
        world.advance(to: world.now + .seconds(5))
        #expect(world.machine.isOver && world.log.suffix(2) == ["remove", "release"])
        #expect(world.log.filter { $0 == "deliver" }.count == 1 && world.log.filter { $0 == "report" }.count == 1)
    }
}
