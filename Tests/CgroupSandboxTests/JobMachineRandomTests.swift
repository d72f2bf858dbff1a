import Cgroups
import SandboxValues
import Testing

@testable import CgroupSandbox
@testable import LinuxSystem

/// What holds for every job, whatever happens to it and in whatever order.
@Suite struct JobMachineRandomTests {
    /// The same numbers again for the same seed (SplitMix64): a trial that failed can be tried again.
    struct Chance: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    /// Drives a machine through a world of chance, and says what it did that no machine may do.
    struct Trial {
        var machine: JobMachine
        var chance: Chance
        var now = BootTime(sinceBoot: .seconds(1_000))
        var isFinisher = false
        /// How many processes are left in the tree; a kill ends some of them.
        var left: Int
        /// Whether this tree survives kills, or cannot be looked at, for ever.
        var neverDies: Bool
        var neverTells: Bool
        var removesNever: Bool

        var releases = 0, reports = 0, deliveries = 0
        var lastLook: TreeEnding.Tree?
        var wasKilledSinceFound = true
        var faults: [String] = []

        init(seed: UInt64) {
            var chance = Chance(state: seed)
            var rules = JobMachine.Rules()
            func maybe(_ range: ClosedRange<Int>) -> Duration? {
                Bool.random(using: &chance) ? .milliseconds(Int.random(in: range, using: &chance)) : nil
            }
            rules.timeout = maybe(0...3_000)
            rules.cpuTimeout = maybe(0...3_000)
            rules.grace = maybe(0...6_000) ?? .zero
            rules.stopsAll = Bool.random(using: &chance)
            rules.asksStrays = Bool.random(using: &chance)
            rules.waitsForAll = Int.random(in: 0..<4, using: &chance) == 0
            rules.processors = Int.random(in: 0...4, using: &chance)
            isFinisher = Int.random(in: 0..<10, using: &chance) == 0
            machine = isFinisher ? JobMachine(finishing: .launcherLost, at: now) : JobMachine(rules, startedAt: now)
            left = Int.random(in: 0...4, using: &chance)
            neverDies = Int.random(in: 0..<20, using: &chance) == 0
            if neverDies { left = max(1, left) }
            neverTells = Int.random(in: 0..<20, using: &chance) == 0
            removesNever = Int.random(in: 0..<20, using: &chance) == 0
            self.chance = chance
        }

        mutating func fault(_ text: String) { faults.append(text) }

        mutating func send(_ event: JobMachine.Event) {
            let wasOver = machine.isOver
            let actions = machine.handle(event, at: now)
            if wasOver, !actions.isEmpty { fault("\(actions) after the release") }
            perform(actions)
        }

        mutating func perform(_ actions: [JobMachine.Action]) {
            for action in actions {
                if releases > 0 { fault("\(action) after the release") }
                switch action {
                case .thaw, .signal, .signalTree, .nameStrays, .nameBlocking, .nameUnkillable: break
                case .readCPUTime:
                    send(
                        .cpuTime(
                            Bool.random(using: &chance) ? .milliseconds(Int.random(in: 0...4_000, using: &chance)) : nil
                        ))
                case .kill:
                    wasKilledSinceFound = true
                    if !neverDies { left = max(0, left - Int.random(in: 0...2, using: &chance)) }
                case .look:
                    lastLook =
                        neverTells || Int.random(in: 0..<10, using: &chance) == 0
                        ? .unknown : left > 0 ? .populated : .empty
                    // What may end by itself need not be killed.
                    if lastLook != .empty, !machine.isRunning { wasKilledSinceFound = false }
                    send(.tree(lastLook!))
                case .report:
                    reports += 1
                case .remove:
                    if lastLook != .empty {
                        fault("removed while the tree was \(lastLook.map { "\($0)" } ?? "unseen")")
                    }
                    if !wasKilledSinceFound { fault("removed before a kill") }
                    send(.removal(succeeded: !removesNever && Bool.random(using: &chance)))
                case .noteLeftover:
                    if deliveries > 0 { fault("told of what is left too late") }
                case .deliver:
                    if reports != 1 { fault("delivered without a report") }
                    deliveries += 1
                case .release: releases += 1
                }
            }
        }

        mutating func happen() {
            switch Int.random(in: 0..<12, using: &chance) {
            case 0: send(.commandEnded(Bool.random(using: &chance) ? .exited(code: 0) : nil))
            case 1: send(.stop(.caller))
            case 2: send(.stop(.cancelled))
            case 3: send(.stop(.parentLost))
            case 4: send(.stop(.guardLost))
            case 5: send(.kill)
            case 6: send(.killedByGuard)
            case 7: send(.askedElsewhere)
            case 8: machine.isFrozen = machine.mayBeFrozen && Bool.random(using: &chance)
            default: passTime(to: now + .milliseconds(Int.random(in: 0...2_000, using: &chance)))
            }
        }

        mutating func passTime(to moment: BootTime) {
            var turns = 0
            while let deadline = machine.deadline, deadline <= moment {
                now = max(now, deadline)
                send(.time)
                turns += 1
                if turns > 200_000 { return fault("a deadline that is always over") }
            }
            now = moment
        }

        /// Lets the job end, if it has not, and gives it all the time that it may take.
        mutating func finish() {
            send(.commandEnded(.exited(code: 0)))
            passTime(to: now + .seconds(100))
            if machine.isRunning {
                if !machine.rules.waitsForAll { fault("the tree lives on") }
                if Bool.random(using: &chance), !neverDies { left = 0 } else { send(.stop(.caller)) }
                passTime(to: now + .seconds(100))
            }
            if isFinisher, neverDies, !neverTells {
                if releases != 0 { fault("the finisher has left a tree") }
                (neverDies, neverTells, left) = (false, false, 0)
                passTime(to: now + .seconds(100))
            }
            if !machine.isOver { fault("not over") }
            if releases != 1 { fault("\(releases) releases") }
            if reports != 1 || deliveries != 1 { fault("\(reports) reports, \(deliveries) deliveries") }
            if machine.deadline != nil { fault("a deadline after the end") }
            for event: JobMachine.Event in [
                .time, .kill, .stop(.caller), .commandEnded(nil), .tree(.empty), .removal(succeeded: true),
            ] { send(event) }
        }
    }

    @Test func invariantsHold() {
        let first = UInt64.random(in: 0 ... .max)
        for number in 0..<100_000 as Range<UInt64> {
            var trial = Trial(seed: first &+ number)
            trial.perform(trial.machine.begin(at: trial.now))
            for _ in 0..<Int.random(in: 0...8, using: &trial.chance) { trial.happen() }
            trial.finish()
            guard trial.faults.isEmpty else {
                Issue.record("seed \(first &+ number): \(Set(trial.faults)): \(trial)")
                return
            }
        }
    }
}
