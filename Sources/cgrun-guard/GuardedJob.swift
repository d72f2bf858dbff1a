import CLinux

/// The descriptors that keep one job within reach.
final class GuardedJob {
    let number: UInt64
    private(set) var parent: CInt = -1
    /// When the job was killed because its parent was gone.
    private(set) var parentLostAt: Int64?

    private let groups: Int
    private let tags: (CChar, CChar, CChar, CChar, CChar, CChar)
    private let name: UnsafeMutablePointer<CChar>
    private var executable: CInt = -1
    private var record: CInt = -1
    private var report: CInt = -1
    private var target: CInt = -1
    private var keepsOutputsOpen = false
    private var killFile: CInt = -1
    private var events: CInt = -1
    private var parentDirectories: [CInt]
    private var directories: [CInt] = []
    private var finisher: pid_t = 0
    /// When the empty cgroup could not be removed for the first time.
    private var stuckSince: Int64?

    /// How long an empty cgroup is tried to be removed; after that it is the next sweep's.
    private static let removalPatience: Int64 = 30_000_000_000

    init(_ message: guard_message, _ received: ArraySlice<CInt>) {
        number = message.job
        groups = Int(message.groups)
        tags = message.tags
        var text = message.name
        name = withUnsafeBytes(of: &text) { strdup($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
        var rest = received
        if message.has_parent { parent = rest.removeFirst() }
        if message.has_record {
            executable = rest.removeFirst()
            record = rest.removeFirst()
        }
        if message.has_report { report = rest.removeFirst() }
        if message.has_target { target = rest.removeFirst() }
        parentDirectories = [CInt](rest)
    }

    deinit {
        let single: [CInt] = [parent, executable, record, killFile, events]
        for descriptor in single + (keepsOutputsOpen ? [] : [report, target]) where descriptor >= 0 {
            close(descriptor)
        }
        for descriptor in parentDirectories { close(descriptor) }
        for descriptor in directories { close(descriptor) }
        free(name)
    }

    func arm(_ received: ArraySlice<CInt>) {
        killFile = received.first ?? -1
        directories = [CInt](received.dropFirst())
        // From now on the cgroups themselves tell where they are: fewer descriptors a job.
        for descriptor in parentDirectories { close(descriptor) }
        parentDirectories = []
        // A job that is armed after its parent was lost must not live on either.
        if parentLostAt != nil { kill() }
    }

    // MARK: The end of the job

    /// Leaves it to the end of this process to close what the report goes to. Whoever reads a report until the end of
    /// file may rely on it that nothing of the job is left then, not even its guard.
    func keepOutputsOpen() { keepsOutputsOpen = true }

    func loseParent() {
        parentLostAt = monotonicTime()
        kill()
    }

    func kill() {
        if killFile >= 0 { _ = clinux_write(killFile, "1", 1) }
    }

    /// One attempt at removing a killed job, or at having its report written by the program that
    /// asked for one.
    ///
    /// - Returns: whether there is no more to do.
    func end() -> Bool {
        if wantsFinisher { startFinisher() }
        if finisher > 0 {
            var status: CInt = 0
            guard waitpid(finisher, &status, WNOHANG) != 0 else { return false }
            finisher = 0
            if status == 0 { return true }
        }
        // For as long as it takes: as long as this process waits, the cgroup is nobody's leftover.
        guard isEmpty(within: 0) else { return false }
        if removeAll() { return true }
        kill()
        let now = monotonicTime()
        guard let stuckSince else {
            stuckSince = now
            return false
        }
        return now - stuckSince > Self.removalPatience
    }

    /// Waits for a change that makes another attempt worth while.
    func wait(_ nanoseconds: Int64) {
        if finisher > 0 || isEmpty(within: nanoseconds) { usleep(useconds_t(nanoseconds / 1_000)) }
    }

    private func isEmpty(within nanoseconds: Int64) -> Bool {
        guard let directory = directories.first else { return true }
        if events < 0 {
            events = clinux_open_of_job(directory, "cgroup.events", O_RDONLY)
            // Without the file there is no cgroup; without a free descriptor nothing is known.
            if events < 0 { return events != -ENFILE && events != -EMFILE }
        }
        return clinux_wait_until_empty(events, nanoseconds) == 1
    }

    /// Where the cgroups are.
    private func openParents() {
        guard parentDirectories.isEmpty else { return }
        for directory in directories { parentDirectories.append(clinux_open_parent(directory)) }
    }

    private func removeAll() -> Bool {
        openParents()
        // The unified cgroup goes last: its lock marks the others as owned.
        for parent in parentDirectories.reversed() where clinux_remove_cgroup(parent, name) < 0 {
            return false
        }
        return true
    }

    // MARK: The finisher

    /// Before the job was armed there is nothing to report on, and no cgroup to hand over.
    var wantsFinisher: Bool { executable >= 0 && !directories.isEmpty }
    var hasFinisher: Bool { finisher > 0 }

    /// `cgrun-finish LOSS RECORD REPORT TARGET NAME TAGS PARENT… DIRECTORY…`, in place of this process;
    /// returns if that cannot be, or if no report is wanted.
    func becomeFinisher() {
        guard wantsFinisher else { return }
        openParents()
        for descriptor in finisherDescriptors { _ = clinux_keep_on_exec(descriptor) }
        withFinisherArguments { _ = clinux_execute(executable, $0) }
    }

    /// The same as a child. Where it cannot be started, the job ends without a report.
    private func startFinisher() {
        openParents()
        let kept = finisherDescriptors
        withFinisherArguments { finisher = clinux_execute_child(executable, $0, kept, CUnsignedInt(kept.count)) }
        close(executable)
        executable = -1
    }

    private var finisherDescriptors: [CInt] {
        var kept = parentDirectories
        kept += directories
        for descriptor in [record, report, target] where descriptor >= 0 { kept.append(descriptor) }
        return kept
    }

    private func withFinisherArguments(_ body: ([UnsafeMutablePointer<CChar>?]) -> Void) {
        var tags = [CChar](repeating: 0, count: Int(GUARD_MAX_GROUPS) + 1)
        withUnsafeBytes(of: self.tags) { source in
            for index in 0..<groups { tags[index] = CChar(bitPattern: source[index]) }
        }
        let loss = parentLostAt == nil ? GUARD_LAUNCHER_LOST : GUARD_PARENT_LOST
        var arguments: [UnsafeMutablePointer<CChar>?] = [
            strdup("cgrun-finish"), decimal(CInt(loss.rawValue)), decimal(record), decimal(report), decimal(target),
            strdup(name), strdup(tags),
        ]
        for descriptor in parentDirectories { arguments.append(decimal(descriptor)) }
        for descriptor in directories { arguments.append(decimal(descriptor)) }
        arguments.append(nil)
        body(arguments)
        for argument in arguments { free(argument) }
    }
}

/// A number as a C string of the caller's to free.
private func decimal(_ number: CInt) -> UnsafeMutablePointer<CChar>? {
    guard let text = calloc(12, 1)?.assumingMemoryBound(to: CChar.self) else { return nil }
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
    return text
}
