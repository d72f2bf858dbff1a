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
        var failure: SystemError?
        looking: while true {
            failure = nil
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
                // A process may have been moved into the cgroup since.
                try? kill()
            }
        }
    }
}
