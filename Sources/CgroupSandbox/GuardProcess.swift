internal import CLinux
internal import Cgroups
internal import Glibc
public import LinuxSystem
internal import SystemPackage

/// What the guard executes after a loss, instead of leaving without a report.
public final class LossRecovery: Sendable {
    /// Run as `cgrun-finish LOSS RECORD REPORT NAME TAGS PARENT… DIRECTORY…`, numbers being descriptors.
    let executable: Descriptor
    /// What that program needs to know; written once, before the job starts.
    let record: Descriptor
    /// An open `--report-fd` that has to outlive the launcher.
    let report: CInt?

    public init(executable: consuming Descriptor, record: consuming Descriptor, report: CInt?) {
        self.executable = executable
        self.record = record
        self.report = report
    }

    /// Tells whoever reads the record that the report is out: an empty record asks for none.
    public func markDelivered() { record.truncate() }
}

/// The guard program on disk.
struct GuardProgram: Sendable {
    let candidates: [ByteString]

    /// `CGRUN_GUARD` if set, else beside this executable, else in `../libexec/cgrun`.
    init() throws(LaunchError) {
        if let path = ThisProcess.environmentVariable("CGRUN_GUARD"), let given = ByteString(path.utf8) {
            candidates = [given]
            return
        }
        guard let executable = ThisProcess.executablePath, let slash = executable.lastIndex(of: "/") else {
            throw LaunchError(.setup, "cannot tell where this program is (no /proc?)", remedy: "set CGRUN_GUARD")
        }
        let directory = executable[..<slash]
        candidates = ["\(directory)/cgrun-guard", "\(directory)/../libexec/cgrun/cgrun-guard"]
            .compactMap { ByteString($0.utf8) }
    }
}

/// A running guard. It watches until it is dismissed or somebody kills it.
struct GuardProcess: ~Copyable {
    let process: ProcessDescriptor
    private let control: Descriptor

    /// What a guard is told before the job's cgroups exist.
    struct Watch: ~Copyable {
        let launcher: ProcessDescriptor
        let recovery: LossRecovery?
    }

    /// Starts a guard that removes the cgroups of `site` once the launcher or the parent is gone.
    ///
    /// - Parameter job: the descriptors of a job that runs already. The guard finds them when it
    ///   starts, so that there is no moment at which it could see a loss and not be able to kill.
    static func start(
        _ program: GuardProgram, _ watch: borrowing Watch, parent: CInt?, site: borrowing CgroupSite,
        job: [CInt]? = nil
    ) throws(LaunchError) -> GuardProcess {
        do {
            let ends = try SocketPair()
            try sendWatch(ends.near.rawValue, watch, parent: parent, site: site)
            if let job { try sendArm(ends.near.rawValue, job) }
            let null = try Descriptor(opening: "/dev/null", O_RDWR)
            var guardProgram = Program(
                candidates: program.candidates, arguments: ["cgrun-guard"], environment: ThisProcess.environment)
            // Nothing that this process inherited: a pipe must end with the job, not with the guard.
            guardProgram.descriptors = [null.rawValue, null.rawValue, null.rawValue, ends.far.rawValue]
            guardProgram.startsSession = true
            guardProgram.signalMask = .all
            guardProgram.workingDirectory = "/"
            let spawned = try guardProgram.start()
            return GuardProcess(process: spawned.takeProcess(), control: ends.keepNear())
        } catch let error as SpawnError {
            let tried = program.candidates.map(\.description).joined(separator: " and ")
            throw LaunchError(
                .setup, "cannot start the guard (tried \(tried)): \(error.system.errno)",
                remedy: "install cgrun-guard beside cgrun, or set CGRUN_GUARD to its path")
        } catch let error as SystemError {
            throw LaunchError(error)
        } catch {
            throw LaunchError(.setup, "\(error)")
        }
    }

    private init(process: consuming ProcessDescriptor, control: consuming Descriptor) {
        self.process = process
        self.control = control
    }

    private static func sendWatch(
        _ socket: CInt, _ watch: borrowing Watch, parent: CInt?, site: borrowing CgroupSite
    ) throws(SystemError) {
        var message = guard_message()
        message.kind = UInt8(GUARD_WATCH.rawValue)
        message.groups = UInt8(site.tags.count)
        withUnsafeMutableBytes(of: &message.tags) { $0.copyBytes(from: site.tags) }
        withUnsafeMutableBytes(of: &message.name) { $0.copyBytes(from: site.name.utf8) }
        var descriptors = [watch.launcher.descriptor.rawValue]
        if let parent {
            message.has_parent = true
            descriptors.append(parent)
        }
        if let recovery = watch.recovery {
            message.has_record = true
            descriptors += [recovery.executable.rawValue, recovery.record.rawValue]
            if let report = recovery.report {
                message.has_report = true
                descriptors.append(report)
            }
        }
        try send(message, descriptors + site.parentDescriptors, to: socket)
    }

    /// Hands over `cgroup.kill` and the job's lock. From here on a loss kills.
    func arm(_ cgroup: borrowing JobCgroup) throws(SystemError) {
        try Self.sendArm(control.rawValue, cgroup.guardDescriptors)
    }

    private static func sendArm(_ socket: CInt, _ job: [CInt]) throws(SystemError) {
        var message = guard_message()
        message.kind = UInt8(GUARD_ARM.rawValue)
        try send(message, job, to: socket)
    }

    private static func send(
        _ message: guard_message, _ descriptors: [CInt], to socket: CInt
    ) throws(SystemError) {
        let result = withUnsafeBytes(of: message) {
            clinux_send(
                socket, $0.baseAddress!, MemoryLayout<guard_message>.size, descriptors, CUnsignedInt(descriptors.count))
        }
        guard result >= 0 else {
            throw SystemError("sendmsg", path: "the guard", errno: Errno(rawValue: -result))
        }
    }

    /// Leaves the guard to it: once this process has ended it kills, waits for as long as it takes, and removes.
    consuming func abandon() {}

    /// Ends the guard without letting it act, and returns once it is gone. SIGKILL, because a
    /// stopped guard would not answer anything else.
    consuming func dismiss() {
        try? process.send(.kill)
        _ = end()
    }

    /// How the guard ended; waits for it.
    consuming func end() -> ExitStatus? { try? process.waitForEnd() }
}
