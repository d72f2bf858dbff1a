internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

// What becomes of the tree once the command has ended, or is given up.

extension JobMachine {
    private static let removalPatience = Duration.seconds(10)
    private static let longestPause = Duration.milliseconds(20)
    /// The longest pause between looks at a tree that does not die and is waited for.
    private static let longestPauseOfOutlasting = Duration.seconds(1)
    private static let removalPatienceOfOutlasting = Duration.seconds(30)

    // MARK: Lingering

    /// What is left of a tree, and may end by itself.
    struct Lingering: Sendable {
        /// When it is killed, unless a stop says when; `nil`: never.
        var killAt: BootTime?
        /// Whether it is yet to be asked to end.
        var isToBeAsked: Bool
        var lookAt: BootTime
        var pause = Duration.microseconds(50)
        /// Since when looks have failed.
        var blindSince: BootTime?

        static let longestPause = Duration.milliseconds(100)
    }

    /// - Parameter status: `nil` if nobody could learn it.
    mutating func endCommand(_ status: ExitStatus?, _ now: BootTime) -> [Action] {
        self.status = status
        endedAt = now
        guard let lingering = lingering(now) else { return beginEnding(now) }
        phase = .lingering(lingering)
        return look()
    }

    /// - Returns: `nil` for a tree whose time is over with that of the command.
    private func lingering(_ now: BootTime) -> Lingering? {
        guard killedAt == nil else { return nil }
        if stop?.killAt != nil {
            guard rules.stopsAll || rules.asksStrays else { return nil }
            return Lingering(isToBeAsked: !rules.stopsAll, lookAt: now)
        }
        // The manager kills them, too, if they take longer.
        if wasAskedElsewhere { return Lingering(killAt: now + rules.grace, isToBeAsked: false, lookAt: now) }
        if rules.waitsForAll { return Lingering(isToBeAsked: false, lookAt: now) }
        guard rules.asksStrays, rules.grace > .zero else { return nil }
        return Lingering(killAt: now + rules.grace, isToBeAsked: true, lookAt: now)
    }

    mutating func linger(_ lingering: Lingering, _ tree: TreeEnding.Tree, _ now: BootTime) -> [Action] {
        var lingering = lingering
        lingering.blindSince = tree == .unknown ? lingering.blindSince ?? now : nil
        if tree == .empty || lingering.blindSince.map({ now - $0 >= TreeEnding.Bounds.sight }) == true {
            phase = .ending(TreeEnding(Self.bounds, since: now))
            return handle(.tree(tree), at: now)
        }
        var asking: [Action] = []
        if lingering.isToBeAsked {
            asking = [.nameStrays] + (isFrozen ? [.thaw] : []) + [.signalTree(rules.stopSignal)]
            (lingering.isToBeAsked, isFrozen) = (false, false)
        }
        lingering.lookAt = now + lingering.pause
        lingering.pause = min(lingering.pause * 2, Lingering.longestPause)
        phase = .lingering(lingering)
        return asking
    }

    mutating func checkLingering(_ lingering: Lingering, _ now: BootTime) -> [Action] {
        if let killAt = lingering.killAt, stop == nil, killAt <= now { return beginEnding(now) }
        return lingering.lookAt <= now ? look() : []
    }

    // MARK: Ending

    private static var bounds: TreeEnding.Bounds {
        TreeEnding.Bounds(death: patienceAfterKill, removal: removalPatience, longestPause: longestPause)
    }

    /// Kills what is left, and waits until nothing is.
    mutating func beginEnding(_ now: BootTime) -> [Action] {
        phase = .ending(TreeEnding(Self.bounds, since: now))
        return look()
    }

    /// Ends a job whose command may never end. The command has had its time since it was killed.
    mutating func giveUp(_ now: BootTime) -> [Action] {
        endedAt = now
        phase = .ending(TreeEnding(Self.bounds, since: killedAt ?? now))
        return look()
    }

    mutating func look() -> [Action] {
        deadline = nil
        return [.look]
    }

    mutating func proceed(_ ending: TreeEnding, _ tree: TreeEnding.Tree, _ now: BootTime) -> [Action] {
        var ending = ending
        let step = ending.next(tree, at: now)
        phase = .ending(ending)
        var actions: [Action] = []
        if tree == .populated, status != nil { actions.append(.nameStrays) }
        switch step {
        case .kill(let pause):
            if tree == .populated { wroteKill = true }
            deadline = now + pause
            return actions + [.kill]
        case .remove:
            emptyAfter = now - (killedAt ?? endedAt ?? now)
            phase = .removing(ending)
            return actions + report() + removeAgain()
        case .giveUp:
            guard !isReported else { return release() }
            let story: [Action] = actions + [.nameUnkillable] + report() + [.deliver]
            guard isFinishing else { return story + release() }
            isReported = true
            let bounds = TreeEnding.Bounds(
                death: nil, removal: Self.removalPatienceOfOutlasting, longestPause: Self.longestPauseOfOutlasting)
            phase = .ending(TreeEnding(bounds, since: now))
            deadline = now + Self.longestPause
            return story
        }
    }

    mutating func proceed(_ ending: TreeEnding, removed: Bool, _ now: BootTime) -> [Action] {
        var ending = ending
        let pause = removed ? nil : ending.pauseAfterFailedRemoval(at: now)
        phase = .removing(ending)
        // Cgroups that cannot be removed now are left to the next sweep.
        guard let pause else {
            let story: [Action] = removed ? [.deliver] : [.noteLeftover, .deliver]
            return (isReported ? [] : story) + release()
        }
        deadline = now + pause
        // Somebody may have moved a process in meanwhile.
        return [.kill]
    }

    mutating func removeAgain() -> [Action] {
        deadline = nil
        return [.remove]
    }

    private func report() -> [Action] { isReported ? [] : [.report] }

    private mutating func release() -> [Action] {
        phase = .over
        deadline = nil
        return [.release]
    }
}
