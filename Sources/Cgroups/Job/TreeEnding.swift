package import LinuxSystem

/// Decides how a job's tree is ended: look, kill, look again, remove the cgroups; and when to give up.
///
/// This type does nothing itself, so that every case can be tested. Its user says what a look found, and does what is
/// decided: `JobCgroup.end` in one go, the machine of live jobs without waiting.
package struct TreeEnding: Sendable {
    /// How long to go on. `nil`: for as long as it takes.
    package struct Bounds: Sendable {
        /// How long the processes may take to die.
        package var death: Duration?
        /// How long looks at the tree may fail in a row: a job can make its cgroup unreadable, and then nobody may ever
        /// see its end.
        package static let sight = Duration.seconds(30)
        /// How long to try, after the first attempt failed, before the cgroups are left to the next sweep.
        package var removal: Duration?
        /// The longest pause between two looks: pauses begin short, and double.
        package var longestPause: Duration

        /// As long as it takes until the processes are dead; what cannot be seen or removed is left to the next sweep.
        package static let forEver = Bounds(death: nil, removal: .seconds(30), longestPause: .seconds(60))

        /// Not longer than somebody waits who wants to start something in its place.
        package static let bounded = Bounds(
            death: .seconds(10), removal: .seconds(10), longestPause: .milliseconds(20))

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
        /// The look failed. Such a tree must not be taken for empty.
        case unknown
    }

    package enum Step: Equatable, Sendable {
        /// Kill the tree, and look again when this time is over.
        case kill(lookAgainAfter: Duration)
        /// No process is left: remove the cgroups.
        case remove
        /// The processes do not die, or looks fail again and again.
        case giveUp
    }

    private let bounds: Bounds
    private let since: BootTime
    private var removalSince: BootTime?
    private var blindSince: BootTime?
    private var pause = Self.firstPause

    private static let firstPause = Duration.microseconds(50)
    private static let longestRemovalPause = Duration.milliseconds(100)

    /// - Parameter since: when the time for the processes' death began.
    package init(_ bounds: Bounds, since: BootTime) {
        self.bounds = bounds
        self.since = since
    }

    /// What to do after a look found this.
    package mutating func next(_ tree: Tree, at now: BootTime) -> Step {
        if tree == .empty {
            pause = Self.firstPause
            return .remove
        }
        if let death = bounds.death, now - since >= death { return .giveUp }
        blindSince = tree == .unknown ? blindSince ?? now : nil
        if let blindSince, now - blindSince >= Bounds.sight { return .giveUp }
        return .kill(lookAgainAfter: nextPause())
    }

    /// How long to wait after a failed attempt to remove the cgroups; `nil`: leave them to the next sweep. Right after
    /// the end of a tree an attempt may fail, since the last processes may not have left their v1 groups yet.
    package mutating func pauseAfterFailedRemoval(at now: BootTime) -> Duration? {
        if let removal = bounds.removal, let began = removalSince, now - began >= removal { return nil }
        removalSince = removalSince ?? now
        return min(nextPause(), Self.longestRemovalPause)
    }

    private mutating func nextPause() -> Duration {
        defer { pause = min(pause * 2, bounds.longestPause) }
        return pause
    }
}
