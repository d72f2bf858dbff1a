package import CgroupSandbox
internal import Cgroups
internal import Glibc
internal import LinuxSystem
internal import SandboxValues

/// The keeper of one service: starts its command, starts it again, writes its log, and answers those who ask.
///
/// Everything happens in the thread that calls `run`. If the keeper is lost, its guard becomes the next keeper, which
/// finds in the service's directory and at its cgroup all that it needs to go on.
package final class Keeper: Sendable {
    let directory: ServiceDirectory
    let spec: ServiceSpec
    let coding: ServiceCoding
    let loop: EventLoop
    let kept: KeptJobs
    let place: ParentCgroups
    private let lock: SharedDescriptor
    let state: Locked<State>

    struct State: ~Copyable {
        var machine: ServiceMachine
        var job: KeptJob?
        /// Until when a main process that is a zombie may keep the next run from being started.
        var reapingDeadline: BootTime?
        /// The main process of the last run.
        var main: KeptJobs.MainProcess?
        var helpers = Helpers()
        var pidFile: PIDFile?
        var log: ServiceLog
        var control: ControlSocket
        var notify: NotifySocket?
        var status: ServiceStatus
        var timer: (id: UInt64, at: BootTime)?
        /// How long the machine had slept at the last deadline.
        var timeAsleep = BootTime.timeAsleep
        var isOver = false
    }

    /// - Parameters:
    ///   - readSpec: says how the service is to be run.
    ///   - succession: what an earlier keeper's guard has held open.
    ///   - token: that of the start which systemd's unit is for; `nil`: no unit has started this keeper.
    /// - Returns: `nil` if another keeper looks after the service, or nobody has to.
    package static func start(
        _ directory: ServiceDirectory, _ readSpec: () throws -> ServiceSpec, _ coding: ServiceCoding,
        _ succession: Succession, token: String? = nil
    ) throws -> Keeper? {
        guard let lock = try directory.lockForKeeping() else { return nil }
        // Read with the lock: the service may have been stopped and started anew since.
        var record = try? coding.decodeRecord(directory.readRecord())
        if record?.bootID != Machine.bootID { record = nil }
        if record?.memory.state.isSettled == true { return nil }
        // Read after the record: whoever has the service started anew writes the token first.
        if let token, token != directory.token { return nil }
        var spec: ServiceSpec?
        var kept: KeptJobs?
        do {
            let read = try readSpec()
            spec = read
            let keeper = try Keeper(directory, read, coding, record, SharedDescriptor(lock), succession)
            kept = keeper.kept
            try keeper.begin(isNew: record == nil)
            return keeper
        } catch {
            // Its guard would become the next keeper, which would fail in the same way.
            kept?.dismissGuard()
            let error = error as? LaunchError ?? LaunchError(.setup, "\(error)")
            try refuse(error, directory, spec, coding, record)
            throw error
        }
    }

    /// Writes down, for whoever has started this keeper, why the service cannot be kept. What runs of it is left alone,
    /// and counts as orphaned.
    private static func refuse(
        _ error: LaunchError, _ directory: ServiceDirectory, _ spec: ServiceSpec?, _ coding: ServiceCoding,
        _ record: ServiceRecord?
    ) throws {
        var refused =
            record
            ?? ServiceRecord(
                bootID: Machine.bootID, memory: ServiceMachine.Memory(),
                status: ServiceStatus(name: directory.name, log: spec?.log.name(in: directory) ?? directory.log),
                places: nil,
                logStart: 0)
        if record == nil {
            refused.memory.state = .failed
            (refused.status.state, refused.status.since) = (.failed, Timestamp.now.text)
            refused.status.lastDeath = ServiceStatus.Death(error)
        }
        refused.memory.reason = error.message
        refused.status.reason = error.message
        try directory.writeRecord(coding.encodeRecord(refused))
    }

    private init(
        _ directory: ServiceDirectory, _ spec: ServiceSpec, _ coding: ServiceCoding, _ record: ServiceRecord?,
        _ lock: SharedDescriptor, _ succession: Succession
    ) throws {
        (self.directory, self.spec, self.coding, self.lock) = (directory, spec, coding, lock)
        loop = try EventLoop()
        place = try KeptJobs.place(spec.launch, of: directory.name, recorded: record?.places)
        let path = spec.log.name(in: directory)
        // What cannot be had any more, such as a directory that is gone, is no reason to leave alone what runs.
        var refusals: [LaunchError] = []
        var logFile: LogFile?
        if spec.log.isJournal {
            if access(JournalStream.socket, W_OK) != 0 { refusals.append(Self.noJournal) }
        } else {
            do { logFile = try LogFile(path) } catch { refusals.append(Self.refusal("--log", path, error)) }
        }
        var pidFile: PIDFile?
        do { pidFile = try spec.pidFile.map { path throws(PathRefusal) in try PIDFile(path) } } catch {
            refusals.append(Self.refusal("--pid-file", spec.pidFile ?? "", error))
        }
        if record == nil, let refusal = refusals.first { throw refusal }
        let log = spec.log.isJournal ? nil : try logFile ?? LogFile(directory.log)
        let fifo = try ServiceLog.openOutput(directory.output, owner: spec.launch.job.credentials?.uid)
        var notify: NotifySocket?
        // Whether the command that runs speaks to a name that somebody else has by now.
        var isDeaf = false
        if spec.listens {
            if let socket = succession.notices, let variable = record?.notifyVariable {
                notify = NotifySocket(socket, variable: variable)
            } else if let variable = record?.notifyVariable {
                // Where keeper and guard were lost, the command still has the old name.
                do { notify = try NotifySocket(variable) } catch {
                    notify = try NotifySocket()
                    isDeaf = true
                }
            } else {
                notify = try NotifySocket()
            }
        }
        let successor = try Successor(
            state: SharedDescriptor(try directory.open()), output: SharedDescriptor(try fifo.duplicate()),
            notices: notify?.socket)
        kept = try KeptJobs(loop, succeededBy: successor)
        var status = record?.status ?? ServiceStatus(name: spec.name.description, log: path)
        status.log = path
        status.argv = spec.launch.job.arguments.prefix(ServiceStatus.mostArguments).map { $0.description.shortened }
        state = Locked(
            State(
                machine: ServiceMachine(spec, record?.memory ?? .init(), hearsNothing: isDeaf), pidFile: pidFile,
                log: ServiceLog(
                    fifo, to: log, spec.log, LogTimes(directory.logTimes),
                    identifier: LogRules.journalIdentifier(of: spec.name), runStart: record?.logStart ?? 0),
                control: try ControlSocket(directory), notify: notify, status: status))
        for refusal in refusals { state.withLock { $0.log.note(refusal.message) } }
        // From here on this process has the FIFO open itself.
        withExtendedLifetime(succession) {}
    }

    /// Looks after the service until there is nothing more to do by itself.
    package func run() {
        while !state.withLock({ $0.isOver && $0.helpers.areOver }) { loop.turn() }
        kept.dismissGuard()
        directory.removeSocket()
    }

    private static func refusal(_ option: String, _ path: String, _ refusal: PathRefusal) -> LaunchError {
        LaunchError(
            .setup, "\(option) \(path.asName): cannot be written: \(refusal.reason)",
            remedy: "give \(refusal.accepted)")
    }

    private static let noJournal = LaunchError(
        .setup, "--log journal: there is no journal of systemd's here (\(JournalStream.socket))",
        remedy: "leave it out, or give a file")

    // MARK: Beginning

    private func begin(isNew: Bool) throws {
        Orphans.adopt()
        try watch()
        let found = try kept.adopt(spec.launch, of: spec.name.description, in: place, whenOver: ended)
        kept.startGuard()
        change { state in
            // What the command wrote before it ended comes before what is told of its end.
            state.log.drainAll()
            switch found {
            case .job(let job, let startedAt):
                state.job = job
                state.main = job.main
                state.log.note("another keeper looks after the service from here on")
                writePIDFile(&state)
                return state.machine.resume(launchedAt: startedAt, at: .now)
            case .stuck(let error): return end(seenAs: "cannot be ended: \(error.reason)", &state, hasSurvivors: true)
            case .ended(let main): state.main = main
            case .nothing: break
            }
            if isNew { return state.machine.begin() }
            guard state.machine.state.isActive else { return [.publish] }
            return end(seenAs: "ended while nobody watched it", &state)
        }
    }

    /// Takes note of an end that this keeper has not seen.
    private func end(
        seenAs text: String, _ state: inout State, hasSurvivors: Bool = false
    ) -> [ServiceMachine.Action] {
        noteDeath(ServiceStatus.Death(unseen: text), &state)
        return state.machine.handle(
            .ended(ServiceMachine.End(isSuccess: false, text: text, hasSurvivors: hasSurvivors)), at: .now,
            jitter: .random(in: 0...1))
    }

    private func watch() throws {
        let signals = SignalSet([.child, .terminate, .interrupt])
        SignalSet.all.replaceMask()
        Signal.child.takeDefaultAction()
        let source = SharedSignals(try SignalDescriptor(signals))
        _ = try loop.watch(source.descriptor, for: .reading) { [weak self] in self?.take(source) }
        let descriptors = state.withLock { ($0.log.descriptor, $0.control.descriptor, $0.notify?.descriptor) }
        _ = try loop.watch(descriptors.0, for: .reading) { [weak self] in self?.readOutput() }
        _ = try loop.watch(descriptors.1, for: .reading) { [weak self] in self?.acceptClients() }
        if let notify = descriptors.2 {
            _ = try loop.watch(notify, for: .reading) { [weak self] in self?.readNotices() }
        }
    }

    // MARK: What the machine says

    func change(_ body: (inout State) -> [ServiceMachine.Action]) {
        state.withLock { state in
            var actions = body(&state)[...]
            while let action = actions.popFirst() {
                if let answer = perform(action, &state) {
                    actions += state.machine.handle(answer, at: .now, jitter: .random(in: 0...1))
                }
            }
            schedule(&state)
        }
    }

    private func schedule(_ state: inout State) {
        let deadline = state.machine.deadline
        guard deadline != state.timer?.at else { return }
        if let timer = state.timer { loop.cancel(timer.id) }
        state.timer = deadline.map { moment in
            let id = loop.call(at: moment) { [weak self] in
                self?.state.withLock { $0.timer = nil }
                self?.meetDeadline()
            }
            return (id, moment)
        }
    }
}

/// A signal descriptor that handlers share.
final class SharedSignals: @unchecked Sendable {
    private let source: SignalDescriptor
    let descriptor: CInt

    init(_ source: consuming SignalDescriptor) {
        descriptor = source.descriptor.rawValue
        self.source = source
    }

    func next() -> SignalDescriptor.Received? { source.next() }
}
