internal import Cgroups
public import LinuxSystem
internal import SandboxValues

/// A running job: a command in a cgroup of its own, with a guard that kills it if this process is lost.
///
/// For programs that run one job and nothing else, such as `cgrun`: everything happens in the thread that calls
/// `waitForEnd`. The program becomes the parent of the job's orphans, and reaps them and every other child. `run` and
/// `Job` are the same for concurrent programs.
public final class LaunchedJob {
    let driver: JobDriver
    private let jobs: GuardedJobs
    /// Whether this process has stopped the command, because somebody pressed the key for that.
    var hasStoppedCommand = false

    /// The job's ID, as in its cgroup's name and its report.
    public var id: String { driver.id }
    /// The command's pid.
    public var pid: ProcessID { driver.pid }
    /// The pid of the guard that looks after the job at the moment.
    public var guardPID: ProcessID? { driver.guardPID }
    /// The job's cgroup as an absolute path.
    public var cgroupPath: String { driver.cgroupPath }
    /// What the launch did besides what `PreparedJob.plan` tells, for people.
    package var notes: [String] { driver.notes }

    /// Starts a job. When this returns, the command runs inside its cgroup, every limit has been read back, and the
    /// guard can kill the job.
    ///
    /// - Parameters:
    ///   - prepared: the job, of which nothing exists yet.
    ///   - parent: the process whose loss ends the job; `nil` for none.
    /// - Throws: why the job did not start. Nothing of it is left then.
    public convenience init(_ prepared: PreparedJob, parent: ParentWatch? = nil) throws(LaunchError) {
        try self.init(prepared, parent: parent, recovery: nil)
    }

    /// - Parameter recovery: what the guard executes after a loss.
    package init(_ prepared: PreparedJob, parent: ParentWatch?, recovery: LossRecovery?) throws(LaunchError) {
        Orphans.adopt()
        let loop: EventLoop
        do { loop = try EventLoop() } catch { throw LaunchError(error) }
        jobs = try GuardedJobs(loop, areOne: true)
        // This object notices the command's end itself, so that it first handles the signals that came before that end.
        driver = try jobs.launch(
            prepared, PreparedJob.Surroundings(parent: parent, recovery: recovery), watchesCommand: false)
    }

    /// Begins to stop the job: stop signal, grace, `cgroup.kill`. A second call only sends the stop signal again.
    public func requestStop() { driver.stop(.caller) }

    /// Waits until the command has ended and nothing is left of it, and meanwhile enforces the time limits, replaces a
    /// lost guard, ends the job when the parent is lost, and passes signals on.
    ///
    /// - Parameters:
    ///   - signals: what to pass on; `nil` leaves signals to the program.
    ///   - relay: connects the command's own terminal, if it has one, with the standard streams of this process.
    /// - Returns: the report.
    public func waitForEnd(_ signals: SignalForwarder? = nil, _ relay: TerminalRelay? = nil) -> Report {
        waitForEnd(signals, relay, detail: .everything) { _ in }
    }

    /// - Parameters:
    ///   - detail: how much the report is to tell; to read everything takes a while.
    ///   - deliver: gets the report while the guard still watches: if this process is killed now, the guard has a
    ///     report written that was asked for.
    package func waitForEnd(
        _ signals: SignalForwarder?, _ relay: TerminalRelay?, detail: JobCgroup.Detail,
        _ deliver: @escaping @Sendable (Report) -> Void
    ) -> Report {
        driver.setDelivery(detail, deliver)
        relay?.attach(driver.takeTerminal())
        while driver.isRunning { wait(signals, relay) }
        while true {
            if let report = driver.finalReport {
                // Whoever starts a server again at once must not find the old one, not even as a zombie. A process that
                // has left the job's cgroup is no reason to wait for long.
                if report.termination.cgroupKill, report.unkillable.isEmpty { Orphans.reapAll(within: .seconds(1)) }
                return report
            }
            jobs.loop.turn()
        }
    }

    private func wait(_ signals: SignalForwarder?, _ relay: TerminalRelay?) {
        var poller = Poller()
        poller.add(jobs.loop.descriptor)
        poller.add(signals?.source.descriptor.rawValue ?? -1)
        poller.add(driver.descriptor)
        relay?.add(to: &poller)
        let ready = poller.wait()
        let (hasEvents, hasSignals, hasEnded) = (ready[0], ready[1], ready[2])
        if hasEvents { jobs.loop.turn(waits: false) }
        if hasSignals, let signals { take(signals, relay) }
        if let relay, driver.isRunning { note(relay.act(ready[3...]), from: relay) }
        if hasEnded { driver.tellEnd() }
        if driver.isRunning, !driver.hasCommand { relay?.keepKeys() }
        Orphans.reap { $0 == driver.pid || $0 == driver.guardPID }
    }

    // MARK: Signals

    private func take(_ signals: SignalForwarder, _ relay: TerminalRelay?) {
        var arrived: [SignalDescriptor.Received] = []
        while let received = signals.source.next() { arrived.append(received) }
        for received in arrived { handle(received, of: arrived, relay) }
        if arrived.contains(where: { $0.signal == .child }) {
            lookAtCommand(wasContinued: arrived.contains { $0.signal == .continue }, relay)
        }
    }

    /// - Parameter wasContinued: whether this process was continued just now, so that the command may have been, too.
    private func lookAtCommand(wasContinued: Bool, _ relay: TerminalRelay?) {
        guard case .stopped = driver.commandChange() else { return }
        if wasContinued {
            // The shell continues the whole process group, but one member after the other: give it a moment.
            Poller.pause(.milliseconds(20))
            guard ProcessTable.state(pid) == "T" else { return }
        }
        // The shell waits for this process, so it stops with the command. `fg` continues both.
        guard ThisProcess.isTerminalForeground else { return }
        if relay != nil || driver.isApart { stop(with: relay) } else { ThisProcess.stop() }
    }

    private func handle(
        _ received: SignalDescriptor.Received, of arrived: [SignalDescriptor.Received], _ relay: TerminalRelay?
    ) {
        switch received.signal {
        case .child: break
        case _ where received.isAboutLauncher: break
        case .terminate: driver.stop(.caller)
        case let signal where !driver.hasCommand: handleAfterCommand(signal)
        case _ where relay != nil: if let relay { pass(received, of: arrived, by: relay) }
        case _ where driver.isApart: pass(received, of: arrived)
        case let signal where received.isForGroup:
            // The command has this signal already, unless it has left the process group since its start.
            if ThisProcess.sharesGroup(with: pid) { driver.note(fromTerminal: [signal]) } else { passToGroup(signal) }
        case let signal: try? driver.pass(signal)
        }
    }

    /// While this process waits for what the command has left, the keys are for itself: those processes may ignore them,
    /// as shells have it for what runs in the background.
    private func handleAfterCommand(_ signal: Signal) {
        if signal == .terminalStop { ThisProcess.stop() }
        if Signal.requestsToEnd.contains(signal) { driver.stop(.caller) }
    }
}
