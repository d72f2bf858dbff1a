import CLinux

/// A job that the guard looks after: how the guard reaches it, and how it ends it.
final class GuardedJob {
    let number: UInt64
    /// When the job was killed because its parent was lost (`clinux_monotonic_time`); `nil` if it was not.
    private(set) var parentLostAt: Int64?

    /// What the launcher has told about the job, with those of the sent descriptors that are still open.
    private var facts: guard_contents
    private var keepsOutputsOpen = false
    private var events: CInt = -1
    private var finisher: pid_t = 0
    /// When the empty cgroup could not be removed for the first time (`clinux_monotonic_time`).
    private var stuckSince: Int64?
    /// When the launcher must have ended the job (`clinux_boot_time`); 0 for never.
    private(set) var deadline: Int64 = 0
    private var isOverdue = false

    /// How much longer a launcher gets that may have slept with the whole machine, in nanoseconds.
    private static let wakingTime: Int64 = 1_000_000_000

    /// How long the guard tries to remove an empty cgroup, in nanoseconds. After that it leaves the cgroup to the next
    /// sweep.
    private static let removalPatience: Int64 = 30_000_000_000

    init(_ message: guard_contents) {
        number = message.number
        facts = message
    }

    deinit {
        let single: [CInt] = [facts.parent, facts.executable, facts.record, facts.kill_file, events]
        for descriptor in single + (keepsOutputsOpen ? [] : [facts.report, facts.target]) where descriptor >= 0 {
            close(descriptor)
        }
        guard_close_parents(&facts)
        guard_close_directories(&facts)
    }

    /// The process whose loss ends the job; -1 for none.
    var parent: CInt { facts.parent }

    func arm(_ message: guard_contents) {
        facts.kill_file = message.kill_file
        facts.directories = message.directories
        facts.has_directories = true
        // The parents can be opened again from the cgroups' own directories. Closed, they save descriptors.
        guard_close_parents(&facts)
        // A job that is armed after its parent was lost must not live on either.
        if parentLostAt != nil { kill() }
    }

    // MARK: The end of the job

    /// Keeps open what the report goes to until this process ends. Whoever reads a report until the end of file may
    /// rely on it that nothing of the job is left then, not even its guard.
    func keepOutputsOpen() { keepsOutputsOpen = true }

    func loseParent() {
        parentLostAt = clinux_monotonic_time()
        kill()
    }

    func setDeadline(_ moment: Int64) { (deadline, isOverdue) = (moment, false) }

    /// Kills a job that is still there at its deadline, and tells the launcher, which goes on to look after the job once
    /// it can.
    func endAtDeadline() {
        guard isOverdue else {
            setDeadline(clinux_boot_time() + Self.wakingTime)
            isOverdue = true
            return
        }
        deadline = 0
        guard !isEmpty(within: 0) else { return }
        // Told first: the launcher may go on in the instant of the kill, and asks for the reason when it sees the end.
        var message = guard_message(GUARD_KILLED)
        message.number = number
        _ = guard_send(CInt(GUARD_CONTROL), &message)
        kill()
    }

    func kill() {
        if facts.kill_file >= 0 { _ = clinux_write(facts.kill_file, "1", 1) }
    }

    /// One attempt to end a killed job: by a finisher, which also writes the report, if the launcher asked for one;
    /// else by removing the cgroups.
    ///
    /// - Returns: whether nothing is left to do.
    func end() -> Bool {
        if wantsFinisher { startFinisher() }
        if finisher > 0 {
            var status: CInt = 0
            guard waitpid(finisher, &status, WNOHANG) != 0 else { return false }
            finisher = 0
            if status == 0 { return true }
        }
        // The processes may take as long as they like to die: while this process waits, it holds the lock of the
        // cgroup, and no sweep takes the cgroup for a leftover.
        guard isEmpty(within: 0) else {
            if facts.has_directories { clinux_kill_headless(facts.directories.0) }
            return false
        }
        guard_open_parents(&facts)
        if guard_remove_cgroups(&facts) == 0 { return true }
        kill()
        let now = clinux_monotonic_time()
        let since = stuckSince ?? now
        stuckSince = since
        return now - since > Self.removalPatience
    }

    /// Waits, at most this long, for a change that makes another attempt worth while.
    func wait(_ nanoseconds: Int64) {
        if finisher > 0 || isEmpty(within: nanoseconds) { _ = clinux_poll(nil, 0, nanoseconds) }
    }

    private func isEmpty(within nanoseconds: Int64) -> Bool {
        guard facts.has_directories else { return true }
        if events < 0 {
            events = clinux_open_of_job(facts.directories.0, "cgroup.events", O_RDONLY)
            // Without the file there is no cgroup; without a free descriptor nothing is known.
            if events < 0 { return events != -ENFILE && events != -EMFILE }
        }
        return clinux_wait_until_empty(events, nanoseconds) == 1
    }

    // MARK: The finisher

    /// Whether a finisher is yet to be started. Before the job is armed, there is nothing to report on, and no cgroup
    /// to hand over.
    var wantsFinisher: Bool { facts.executable >= 0 && facts.has_directories }
    var hasFinisher: Bool { finisher > 0 }

    /// Executes the finisher in place of this process; returns if that cannot be, or if no report is wanted.
    func becomeFinisher() {
        withFinisher { executable, argv, control in _ = clinux_execute(executable, argv, control) }
    }

    /// Starts the finisher as a child of this process. If that fails, the job ends without a report.
    private func startFinisher() {
        withFinisher { finisher = clinux_execute_child($0, $1, $2) }
        close(facts.executable)
        facts.executable = -1
    }

    private func withFinisher(_ body: (CInt, [UnsafeMutablePointer<CChar>?], CInt) -> Void) {
        guard wantsFinisher else { return }
        guard_open_parents(&facts)
        var message = facts
        message.kind = GUARD_FINISH
        message.loss = parentLostAt == nil ? GUARD_LAUNCHER_LOST : GUARD_PARENT_LOST
        // The finisher has no use for these.
        (message.parent, message.executable, message.kill_file) = (-1, -1, -1)
        let control = guard_queue(&message)
        guard control >= 0 else { return }
        let name = strdup("cgrun-finish")
        body(facts.executable, [name, nil], control)
        free(name)
        close(control)
    }
}
