import CLinux

/// What the guard waits for, and the jobs that it looks after.
struct Watch {
    /// In the order of their numbers.
    private var jobs: [GuardedJob] = []
    /// Killed, and to be waited for and removed by the guard itself.
    private var ending: [GuardedJob] = []
    private let epoll: CInt
    private var hasMessages = true
    /// Until when messages are left to gather; `nil`: the next one wakes this process.
    private var quietUntil: Int64?
    private var launcher: CInt = -1
    /// Told by a hash: a manager has been asked to move this process out of it.
    private var cgroupBefore: UInt64?
    /// The process that keeps the jobs' scope, what it waits for, and the scope's directory.
    private var holder = guard_message(GUARD_HOLDER)
    private var isLauncherLost = false
    private var isBroken = false

    /// Tokens of what is no job's parent; jobs are numbered from 1.
    private static let controlToken = UInt64.max
    private static let launcherToken = UInt64.max - 1

    /// A launcher of many short jobs must not wake this process for each: what is queued counts as
    /// said, since it is read before anything is done.
    private static let quietTime: Int64 = 10_000_000
    private static let controlEvents = EPOLLIN.rawValue | EPOLLONESHOT.rawValue

    /// How long a living launcher may take to end a job whose parent is lost, in nanoseconds.
    private static let launcherPatience: Int64 = 10_000_000_000
    /// How long a holder may take to end once nobody has its socket.
    private static let holderPatience: Int64 = 2_000_000_000

    /// Says so once it watches.
    ///
    /// - Returns: `nil` when nobody says what to watch, or it cannot be watched.
    init?(_ first: guard_contents) {
        epoll = clinux_epoll()
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
                for job in jobs + ending { job.keepOutputsOpen() }
                endAllJobs()
                if let cgroupBefore { clinux_await_scope(cgroupBefore) }
                endHolder()
                return 0
            }
            // The launcher has another guard take over.
            if isBroken { return 125 }
            waitForEvents()
            giveUpOnLauncher()
        }
    }

    private mutating func waitForEvents() {
        var ready = [clinux_ready](repeating: clinux_ready(), count: 16)
        let count = clinux_epoll_wait(epoll, &ready, CUnsignedInt(ready.count), timeout)
        // What the launcher sent just before it died counts, and so does what it sent
        // for a job that is lost.
        let isQuietOver = quietUntil.map { $0 <= monotonicTime() } ?? false
        if count > 0 || isQuietOver { receiveMessages() }
        if isQuietOver {
            quietUntil = nil
            if hasMessages {
                _ = clinux_epoll_watch(epoll, CInt(GUARD_CONTROL), Self.controlEvents, Self.controlToken)
            }
        }
        for event in ready.prefix(max(0, Int(count))) {
            if event.token == Self.launcherToken {
                isLauncherLost = true
            } else if event.token == Self.controlToken {
                quietUntil = monotonicTime() + Self.quietTime
            } else if let index = index(of: event.token) {
                jobs[index].loseParent()
                _ = clinux_epoll_watch(epoll, jobs[index].parent, 0, 0)
            }
        }
    }

    private var timeout: Int64 {
        if !ending.isEmpty { return 10_000_000 }
        var next: Int64 = quietUntil.map { max(0, $0 - monotonicTime()) } ?? -1
        for job in jobs {
            guard let lost = job.parentLostAt else { continue }
            let left = max(0, lost + Self.launcherPatience - monotonicTime())
            next = next < 0 ? left : min(next, left)
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
                // No more than that no message follows; the pidfd tells of a loss.
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
            // The launcher holds the same open file: closing this descriptor would not end the watch.
            if job.parent >= 0 { _ = clinux_epoll_watch(epoll, job.parent, 0, 0) }
        default: break
        }
    }

    /// A guard that does not see a loss is none.
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

    /// Ends those jobs whose parent is lost and which the launcher (stopped, say) did not clean up.
    private mutating func giveUpOnLauncher() {
        if jobs.contains(where: { $0.parentLostAt != nil }) {
            let deadline = monotonicTime() - Self.launcherPatience
            for job in jobs where job.parentLostAt ?? .max <= deadline { ending.append(job) }
            jobs.removeAll { $0.parentLostAt ?? .max <= deadline }
        }
        advanceEnding()
    }

    /// Each finisher is a whole launcher's program: only so many at a time.
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
        // All at once, before anything is waited for.
        for job in jobs { job.kill() }
        // Only this process lets a holder go.
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
                // Somebody may have moved into a cgroup since.
                for job in ending { job.kill() }
            }
        }
    }

    private func endHolder() {
        guard holder.holder >= 0 else { return }
        close(holder.holder_socket)
        var ended = pollfd(fd: holder.holder, events: Int16(POLLIN), revents: 0)
        _ = clinux_poll(&ended, 1, Self.holderPatience)
        if holder.scope >= 0 { clinux_remove_scope(holder.scope) }
    }
}

/// Nanoseconds on CLOCK_MONOTONIC.
func monotonicTime() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
