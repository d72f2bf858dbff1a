import CLinux

/// What the guard waits for, and the jobs that it looks after.
struct Watch {
    /// The jobs that may be running, in the order of their numbers.
    private var jobs: [GuardedJob] = []
    /// Killed jobs, which the guard itself waits for and removes.
    private var ending: [GuardedJob] = []
    private let epoll: CInt
    private let descriptorLimit: UInt64
    private var hasMessages = true
    /// Until when messages may gather in the socket; `nil`: the next message wakes this process.
    private var quietUntil: Int64?
    private var launcher: CInt = -1
    /// The hash of the cgroups that a manager has been asked to move this process out of; `nil`: none was asked.
    private var cgroupBefore: UInt64?
    /// The last GUARD_HOLDER: the process that keeps the jobs' scope, the socket that it waits at, and the scope's
    /// directory.
    private var holder = guard_message(GUARD_HOLDER)
    /// The last GUARD_SUCCESSOR: the keeper that this process becomes after a loss.
    private var successor = guard_message(GUARD_SUCCESSOR)
    private var isLauncherLost = false
    private var isBroken = false

    /// Tokens of events that do not come from a job's parent. An event of a parent has the job's number, which is 1 or
    /// more.
    private static let controlToken = UInt64.max
    private static let launcherToken = UInt64.max - 1

    /// How long messages may gather, in nanoseconds. A launcher of many short jobs must not wake this process for each
    /// message. A message that waits in the socket is not too late: this process reads all messages before it acts on a
    /// loss.
    private static let quietTime: Int64 = 10_000_000
    private static let controlEvents = EPOLLIN.rawValue | EPOLLONESHOT.rawValue

    /// How long a living launcher may take to end a job whose parent is lost, in nanoseconds.
    private static let launcherPatience: Int64 = 10_000_000_000
    /// How long a holder may take to end once nobody has the other end of its socket, in nanoseconds.
    private static let holderPatience: Int64 = 2_000_000_000

    /// Sends GUARD_READY once it watches.
    ///
    /// - Returns: `nil` when no launcher is named, or when it cannot be watched.
    ///   - descriptorLimit: the soft RLIMIT_NOFILE that this process was started with.
    init?(_ first: guard_contents, _ descriptorLimit: UInt64) {
        self.descriptorLimit = descriptorLimit
        epoll = epoll_create1(CInt(EPOLL_CLOEXEC))
        take(first)
        receiveMessages()
        guard launcher >= 0, !isBroken,
            clinux_epoll_watch(epoll, CInt(GUARD_CONTROL), Self.controlEvents, Self.controlToken) == 0
        else { return nil }
        Mail.sayReady()
    }

    // MARK: Waiting

    /// - Returns: the exit status, once nothing is left to guard.
    mutating func run() -> CInt {
        while true {
            if isLauncherLost {
                if successor.state >= 0 { return becomeSuccessor() }
                for job in jobs + ending { job.keepOutputsOpen() }
                endAllJobs()
                if let cgroupBefore { clinux_await_scope(cgroupBefore) }
                endHolder()
                return 0
            }
            // The launcher notices that this process has ended, and starts another guard.
            if isBroken { return 125 }
            waitForEvents()
            giveUpOnLauncher()
            let now = clinux_boot_time()
            for job in jobs where job.deadline != 0 && job.deadline <= now { job.endAtDeadline() }
        }
    }

    private mutating func waitForEvents() {
        var ready = [UInt64](repeating: 0, count: 16)
        let count = clinux_epoll_wait(epoll, &ready, CUnsignedInt(ready.count), timeout)
        // Messages are read before events are handled: what the launcher sent just before it died counts, and so does
        // what it sent about a job whose parent is lost.
        let isQuietOver = quietUntil.map { $0 <= clinux_monotonic_time() } ?? false
        if count > 0 || isQuietOver { receiveMessages() }
        if isQuietOver {
            quietUntil = nil
            if hasMessages {
                _ = clinux_epoll_watch(epoll, CInt(GUARD_CONTROL), Self.controlEvents, Self.controlToken)
            }
        }
        for token in ready.prefix(max(0, Int(count))) {
            if token == Self.launcherToken {
                isLauncherLost = true
                // The kernel tells of events in their order. A parent that was lost after the launcher, perhaps because
                // of that, is not why the jobs end.
                break
            } else if token == Self.controlToken {
                quietUntil = clinux_monotonic_time() + Self.quietTime
            } else if let index = index(of: token) {
                jobs[index].loseParent()
                _ = clinux_epoll_watch(epoll, jobs[index].parent, 0, 0)
            }
        }
    }

    private var timeout: Int64 {
        if !ending.isEmpty { return 10_000_000 }
        var next: Int64 = quietUntil.map { max(0, $0 - clinux_monotonic_time()) } ?? -1
        func wake(in left: Int64) { next = next < 0 ? max(0, left) : min(next, max(0, left)) }
        for job in jobs {
            if let lost = job.parentLostAt { wake(in: lost + Self.launcherPatience - clinux_monotonic_time()) }
            if job.deadline != 0 { wake(in: job.deadline - clinux_boot_time()) }
        }
        return next
    }

    // MARK: The launcher's messages

    private mutating func receiveMessages() {
        while hasMessages {
            switch Mail.next() {
            case .message(let message): take(message)
            case .none: return
            case .ended:
                // This means only that no message will follow. Whether the launcher is lost is known from its pidfd.
                hasMessages = false
                _ = clinux_epoll_watch(epoll, CInt(GUARD_CONTROL), 0, 0)
            case .broken:
                isBroken = true
                return
            }
        }
    }

    private mutating func take(_ message: guard_contents) {
        switch message.kind {
        case GUARD_WATCH:
            launcher = message.launcher
            watch(launcher, Self.launcherToken)
        case GUARD_JOB:
            let job = GuardedJob(message)
            jobs.append(job)
            if job.parent >= 0 { watch(job.parent, job.number) }
        case GUARD_ARM:
            if let index = index(of: message.number) { jobs[index].arm(message) }
        case GUARD_DEADLINE:
            if let index = index(of: message.number) { jobs[index].setDeadline(message.deadline) }
        case GUARD_SUCCESSOR:
            for descriptor in [successor.executable, successor.state, successor.output, successor.notices]
            where descriptor >= 0 {
                close(descriptor)
            }
            successor = message
        case GUARD_SCOPE: cgroupBefore = message.number
        case GUARD_HOLDER:
            for descriptor in [holder.holder, holder.holder_socket, holder.scope] where descriptor >= 0 {
                close(descriptor)
            }
            holder = message
        case GUARD_DONE:
            ending.removeAll { $0.number == message.number }
            guard let index = index(of: message.number) else { return }
            let job = jobs.remove(at: index)
            // The launcher may have the same open file, so that closing this descriptor would not end the watch.
            if job.parent >= 0 { _ = clinux_epoll_watch(epoll, job.parent, 0, 0) }
        default: break
        }
    }

    /// A guard that cannot notice a loss is of no use, and must end.
    private mutating func watch(_ process: CInt, _ token: UInt64) {
        if clinux_epoll_watch(epoll, process, EPOLLIN.rawValue, token) < 0 { isBroken = true }
    }

    private func index(of number: UInt64) -> Int? {
        var low = 0
        var high = jobs.count
        while low < high {
            let middle = (low + high) / 2
            if jobs[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low < jobs.count && jobs[low].number == number ? low : nil
    }

    // MARK: The end of jobs

    /// Ends jobs whose parent is lost and which the launcher did not clean up in time, perhaps because it is stopped.
    private mutating func giveUpOnLauncher() {
        let deadline = clinux_monotonic_time() - Self.launcherPatience
        for job in jobs where job.parentLostAt ?? .max <= deadline { ending.append(job) }
        jobs.removeAll { $0.parentLostAt ?? .max <= deadline }
        advanceEnding()
    }

    /// How many finishers may run at a time: each is a process as large as a launcher.
    private static let mostFinishers = 8

    private mutating func advanceEnding() {
        var places = Self.mostFinishers
        for job in ending where job.hasFinisher { places -= 1 }
        ending.removeAll { job in
            if job.wantsFinisher {
                guard places > 0 else { return false }
                places -= 1
            }
            return job.end()
        }
    }

    private mutating func endAllJobs() {
        // Kill all jobs first, before waiting for any of them.
        for job in jobs { job.kill() }
        // A finisher could not let a holder go: with a holder, this process must stay.
        if ending.isEmpty, jobs.count == 1, holder.holder < 0 { jobs[0].becomeFinisher() }
        ending += jobs
        jobs = []
        var pause: Int64 = 20_000
        while true {
            advanceEnding()
            guard let next = ending.first else { return }
            next.wait(pause)
            if pause < 100_000_000 { pause *= 2 }
            if pause > 10_000_000 {
                // A process may have been moved into a cgroup since.
                for job in ending { job.kill() }
            }
        }
    }

    /// Executes the next keeper in place of this process.
    ///
    /// - Returns: the exit status, where that cannot be. Nothing of the service is ended for it.
    private func becomeSuccessor() -> CInt {
        var message = successor
        message.executable = -1
        let control = guard_queue(&message)
        guard control >= 0 else { return 125 }
        // What the keeper starts must find the limit that the service was started with.
        clinux_set_descriptor_limit(descriptorLimit)
        let name = strdup("cgrun-keeper")
        _ = clinux_execute(successor.executable, [name, nil], control)
        free(name)
        return 125
    }

    private func endHolder() {
        guard holder.holder >= 0 else { return }
        close(holder.holder_socket)
        var ended = pollfd(fd: holder.holder, events: Int16(POLLIN), revents: 0)
        _ = clinux_poll(&ended, 1, Self.holderPatience)
        if holder.scope >= 0 { clinux_remove_scope(holder.scope) }
    }
}
