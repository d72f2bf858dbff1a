import CLinux

/// The descriptors that keep one job within reach.
struct GuardedJob {
    enum Event {
        case message
        case launcher
        case parent
        /// The parent is gone, the job is killed, and the launcher (stopped, say) did not clean up.
        case launcherUnresponsive
    }

    var parentLost = false

    private var watch = guard_message()
    private var control = CInt(GUARD_CONTROL)
    private var launcher: CInt = -1
    private var parent: CInt = -1
    private var executable: CInt = -1
    private var record: CInt = -1
    private var report: CInt = -1
    private var killFile: CInt = -1
    private var events: CInt = -1
    private var parentDirectories: [CInt] = []
    private var directories: [CInt] = []

    var isWatching: Bool { launcher >= 0 }

    // MARK: The launcher's messages

    mutating func receiveMessages() {
        while control >= 0 {
            var message = guard_message()
            var received = [CInt](repeating: -1, count: Int(GUARD_MAX_DESCRIPTORS))
            var count: CUnsignedInt = 0
            let size = clinux_receive(
                control, &message, MemoryLayout<guard_message>.size, &received, &count)
            guard size > 0 else {
                // End of file says no more than that no message follows; the pidfd tells of a loss.
                if size == 0 || size != -Int(EAGAIN) { control = -1 }
                return
            }
            take(message, received[..<Int(count)])
        }
    }

    private mutating func take(_ message: guard_message, _ received: ArraySlice<CInt>) {
        var rest = received
        if message.kind == GUARD_WATCH.rawValue {
            watch = message
            launcher = rest.removeFirst()
            if message.has_parent { parent = rest.removeFirst() }
            if message.has_record {
                executable = rest.removeFirst()
                record = rest.removeFirst()
            }
            if message.has_report { report = rest.removeFirst() }
            parentDirectories = [CInt](rest)
        } else if message.kind == GUARD_ARM.rawValue {
            killFile = rest.removeFirst()
            events = rest.removeFirst()
            directories = [CInt](rest)
        }
    }

    // MARK: Waiting

    /// How long a living launcher may take to end a job whose parent is lost.
    private static let launcherPatience: CInt = 10_000

    func waitForEvent() -> Event {
        while true {
            var polls = [
                pollfd(fd: control, events: Int16(POLLIN), revents: 0),
                pollfd(fd: launcher, events: Int16(POLLIN), revents: 0),
                pollfd(fd: parentLost ? -1 : parent, events: Int16(POLLIN), revents: 0),
            ]
            let ready = poll(&polls, 3, parentLost ? Self.launcherPatience : -1)
            if polls[1].revents != 0 { return .launcher }
            if polls[2].revents != 0 { return .parent }
            if polls[0].revents != 0 { return .message }
            if ready == 0 { return .launcherUnresponsive }
        }
    }

    // MARK: The end of the job

    func kill() {
        if killFile >= 0 { _ = clinux_write(killFile, "1", 1) }
    }

    /// Kills the tree, waits until it is empty and removes its cgroups; a
    /// report, where one was asked for, is written by the program that asked.
    func recover(_ loss: guard_loss) {
        kill()
        if executable >= 0 { executeFinisher(loss) }
        // Thirty seconds of retries for what came into the cgroup meanwhile;
        // what is left after that is the sweep's, once this process drops its lock.
        for _ in 0..<3_000 {
            waitUntilEmpty()
            if removeAll() { return }
            kill()
            _ = usleep(10_000)
        }
    }

    /// For as long as it takes: as long as this process waits, the cgroup is nobody's leftover.
    private func waitUntilEmpty() {
        guard events >= 0 else { return }
        while clinux_wait_until_empty(events, 60_000_000_000) == 0 { kill() }
    }

    private func removeAll() -> Bool {
        var name = watch.name
        return withUnsafeBytes(of: &name) { name in
            let cgroup = name.baseAddress!.assumingMemoryBound(to: CChar.self)
            // The unified cgroup goes last: its lock marks the others as owned.
            for parent in parentDirectories.reversed()
            where clinux_remove_cgroup(parent, cgroup) < 0 {
                return false
            }
            return true
        }
    }

    /// Becomes `cgrun-finish LOSS RECORD REPORT NAME TAGS PARENT… DIRECTORY…`; returns if it cannot.
    private func executeFinisher(_ loss: guard_loss) {
        for descriptor in [record, report] + parentDirectories + directories where descriptor >= 0 {
            _ = clinux_keep_on_exec(descriptor)
        }
        var name = watch.name
        var tags: (UInt32, UInt32) = (0, 0)  // zeros after the tags end the string
        withUnsafeMutableBytes(of: &tags) { tags in
            withUnsafeBytes(of: watch.tags) { tags.copyMemory(from: $0) }
        }
        withUnsafeMutableBytes(of: &name) { name in
            withUnsafeMutableBytes(of: &tags) { tags in
                var arguments: [UnsafeMutablePointer<CChar>?] = [
                    strdup("cgrun-finish"), decimal(CInt(loss.rawValue)),
                    decimal(record), decimal(report),
                    name.baseAddress!.assumingMemoryBound(to: CChar.self),
                    tags.baseAddress!.assumingMemoryBound(to: CChar.self),
                ]
                for descriptor in parentDirectories + directories {
                    arguments.append(decimal(descriptor))
                }
                arguments.append(nil)
                _ = clinux_execute(executable, arguments)
            }
        }
    }
}

/// A number as a C string that lives until exec.
private func decimal(_ number: CInt) -> UnsafeMutablePointer<CChar>? {
    let text = UnsafeMutablePointer<CChar>.allocate(capacity: 12)
    var digits = 0
    var rest = number.magnitude
    repeat {
        digits += 1
        rest /= 10
    } while rest > 0
    let sign = number < 0 ? 1 : 0
    if number < 0 { text[0] = CChar(UInt8(ascii: "-")) }
    rest = number.magnitude
    for position in (sign..<sign + digits).reversed() {
        text[position] = CChar(UInt8(ascii: "0") + UInt8(rest % 10))
        rest /= 10
    }
    text[sign + digits] = 0
    return text
}
