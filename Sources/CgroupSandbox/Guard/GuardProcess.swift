internal import CLinux
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// A running guard, which watches until it is dismissed or killed. Of all methods, only `dismiss` waits for it.
struct GuardProcess: Sendable {
    let helper: Helper
    /// Whether the guard has said that it watches.
    private(set) var watches = false
    /// When the guard must have said that it watches.
    let answerBy = BootTime.now + Helper.patience
    /// Since when the guard's socket has taken nothing; `nil` while it takes messages.
    private var isFullSince: BootTime?
    /// The watch by which the observer's loop learns of the guard's end.
    var watch: EventLoop.Watch?

    /// Starts a guard.
    ///
    /// - Parameter outbox: the first of its messages are in the socket before the guard starts. So a guard that sees a
    ///   loss already knows what to kill.
    init(
        _ program: GuardProgram, launcher: borrowing ProcessDescriptor, telling outbox: inout GuardOutbox
    ) throws(LaunchError) {
        var watch = guard_message(GUARD_WATCH)
        watch.launcher = launcher.descriptor.rawValue
        helper = try program.start(as: "cgrun-guard") { socket throws(SystemError) in
            try watch.send(to: socket)
            // Well below what a socket takes that nobody reads yet.
            try outbox.send(to: socket, atMost: 64)
        }
    }

    // MARK: Messages

    enum Delivery { case all, full, lost }

    /// Sends the guard what is in the outbox, as far as its socket takes it.
    ///
    /// - Throws: when no descriptor is free.
    mutating func deliver(_ outbox: inout GuardOutbox) throws(LaunchError) -> Delivery {
        let count = outbox.notices.count
        do throws(SystemError) {
            try outbox.send(to: helper.control.rawValue)
        } catch {
            guard error.operation == "sendmsg" else { throw LaunchError(.openingKillFile(error)) }
            guard error.errno == .resourceTemporarilyUnavailable || error.errno == .tooManyReferences else {
                return .lost
            }
            let since = outbox.notices.count < count ? .now : isFullSince ?? .now
            isFullSince = since
            // A guard that has read nothing for so long is stopped or stuck, and is replaced.
            return BootTime.now - since >= Helper.patience ? .lost : .full
        }
        isFullSince = nil
        return .all
    }

    /// Takes the guard's answer, if it has come. After `ready` no end of the guard is looked for: its pidfd tells that.
    mutating func takeAnswer() -> Helper.Answer {
        if watches { return .ready }
        let answer = helper.takeAnswer()
        watches = answer == .ready
        return answer
    }

    /// Reads what the guard has said since it watches.
    ///
    /// - Parameter note: gets the number of each job that the guard has killed at its deadline.
    func takeNotices(_ note: (UInt64) -> Void) {
        guard watches else { return }
        var message = guard_contents()
        while guard_receive(helper.control.rawValue, &message) > 0 {
            if message.kind == GUARD_KILLED { note(message.number) }
        }
    }

    // MARK: The end

    /// Ends the guard without letting it kill anything, and returns once it is gone. SIGKILL, because a guard that is
    /// stopped would not act on anything else.
    ///
    /// - Returns: how the guard ended, now or before; `nil` where it could not be killed.
    @discardableResult
    func dismiss() -> ExitStatus? {
        // A program that is not a guard may have children, in the session that was made for it. The number of its
        // process group means no other group before the program is reaped.
        if !watches, clinux_pidfd_send_signal(helper.descriptor, 0) == 0 { helper.process.sendToGroup(.kill) }
        try? helper.process.send(.kill)
        return (try? helper.process.waitForEnd(within: Helper.patience)) ?? nil
    }
}
