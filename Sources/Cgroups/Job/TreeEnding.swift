package import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// How what is left of a job is brought to its end: look, kill, look again, remove; and when to give up.
///
/// This decides and does nothing itself, so that every case can be tested. Whoever drives it says what it found and
/// does what it is told: the engine without waiting, `JobCgroup.end` in one go.
package struct TreeEnding: Sendable {
    /// How long to go on. `nil`: for as long as it takes.
    package struct Bounds: Sendable {
        /// Processes that are left so long after the first look are given up.
        package var death: Duration?
        /// Cgroups that cannot be removed so long after the first attempt are left to others.
        package var removal: Duration?
        /// Pauses between two looks begin short, double, and end here.
        package var longestPause: Duration

        /// For as long as it takes until the processes are dead; cgroups that stay are the next sweep's.
        package static let forEver = Bounds(death: nil, removal: .seconds(30), longestPause: .seconds(60))

        package init(death: Duration?, removal: Duration?, longestPause: Duration) {
            self.death = death
            self.removal = removal
            self.longestPause = longestPause
        }
    }

    /// What a look at the tree found.
    package enum Tree: Equatable, Sendable {
        case empty
        case populated
        /// Nobody can tell. Such a tree may not be taken for empty.
        case unknown
    }

    package enum Step: Equatable, Sendable {
        /// Kill the tree, and look again when this time is over.
        case kill(lookAgainAfter: Duration)
        /// Nothing is left in it: remove it.
        case remove
        /// Processes do not die, or nobody can tell.
        case giveUp
    }

    package enum RemovalStep: Equatable, Sendable {
        case done
        case tryAgain(after: Duration)
        /// It stays. The next sweep finds it.
        case leave
    }

    private let bounds: Bounds
    private let since: BootTime
    private var removalSince: BootTime?
    private var pause = Self.firstPause

    private static let firstPause = Duration.microseconds(50)

    /// - Parameter since: when the time for the processes' death began.
    package init(_ bounds: Bounds, since: BootTime) {
        self.bounds = bounds
        self.since = since
    }

    /// What to do about what a look found.
    package mutating func next(_ tree: Tree, at now: BootTime) -> Step {
        if tree == .empty {
            pause = Self.firstPause
            return .remove
        }
        if let death = bounds.death, now - since >= death { return .giveUp }
        return .kill(lookAgainAfter: nextPause())
    }

    /// What to do after an attempt to remove the cgroups. Right after the end of a tree one may fail: the last
    /// processes may be on their way out of the groups of cgroup v1 still.
    package mutating func next(removed: Bool, at now: BootTime) -> RemovalStep {
        if removed { return .done }
        if let removal = bounds.removal, let began = removalSince, now - began >= removal { return .leave }
        if removalSince == nil { removalSince = now }
        return .tryAgain(after: nextPause())
    }

    private mutating func nextPause() -> Duration {
        defer { pause = min(pause * 2, bounds.longestPause) }
        return pause
    }
}

extension JobCgroup {
    /// One look at the tree.
    ///
    /// - Parameter error: why nobody can tell what is in it, for `unknown`.
    package func look(_ error: inout SystemError?) -> TreeEnding.Tree {
        do throws(SystemError) { return try isPopulated() ? .populated : .empty } catch let failure {
            error = failure
            return .unknown
        }
    }

    /// Kills whatever is in the tree, waits until nothing is left of it, and removes the cgroups.
    ///
    /// - Throws: `EBUSY` when processes do not die within the bounds, and why the cgroups cannot be removed.
    package func end(_ bounds: TreeEnding.Bounds) throws(SystemError) {
        var ending = TreeEnding(bounds, since: .now)
        var failure: SystemError?
        looking: while true {
            switch ending.next(look(&failure), at: .now) {
            case .kill(let pause):
                try? kill()
                _ = waitUntilEmpty(atMost: pause)
            case .giveUp: throw failure ?? SystemError("rmdir", path: path, errno: .resourceBusy)
            case .remove: break looking
            }
        }
        while true {
            var removed = true
            do throws(SystemError) { try remove() } catch {
                failure = error
                removed = false
            }
            switch ending.next(removed: removed, at: .now) {
            case .done: return
            case .leave: throw failure ?? SystemError("rmdir", path: path, errno: .resourceBusy)
            case .tryAgain(let pause):
                var poller = Poller()
                _ = poller.wait(pause)
                // Somebody may have moved in since.
                try? kill()
            }
        }
    }
}
