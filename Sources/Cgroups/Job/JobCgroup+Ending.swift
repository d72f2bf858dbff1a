package import LinuxSystem
internal import SystemPackage

extension JobCgroup {
    /// One look at the tree.
    ///
    /// - Parameter error: is set to why the look failed, for `.unknown`.
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
        looking: while true {
            var failure: SystemError?
            switch ending.next(look(&failure), at: .now) {
            case .kill(let pause):
                try? kill()
                do { _ = try isPopulated(after: pause) } catch { Poller.pause(min(pause, .milliseconds(10))) }
            case .giveUp: throw failure ?? SystemError("rmdir", path: path, errno: .resourceBusy)
            case .remove: break looking
            }
        }
        while true {
            do throws(SystemError) { return try remove() } catch {
                guard let pause = ending.pauseAfterFailedRemoval(at: .now) else { throw error }
                Poller.pause(pause)
                // A process may have been moved into the cgroup since.
                try? kill()
            }
        }
    }
}
