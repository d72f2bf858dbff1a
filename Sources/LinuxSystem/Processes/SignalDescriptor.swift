internal import CLinux
internal import Glibc
package import SandboxValues

/// A signalfd(2), on which a program can wait for signals without handlers.
package struct SignalDescriptor: ~Copyable {
    package struct Received: Sendable {
        package var signal: Signal
        /// Whether the kernel itself sent the signal: for Ctrl-C, or for a terminal that hung up.
        package var isFromKernel: Bool
        /// The sender's pid, 0 for the kernel.
        package var sender: ProcessID
    }

    package let descriptor: Descriptor

    /// The signals must be blocked: otherwise they take their default action.
    package init(_ signals: SignalSet) throws(SystemError) {
        var set = signals.raw
        descriptor = Descriptor(
            owning: try checkErrno(signalfd(-1, &set, CInt(SFD_CLOEXEC) | CInt(SFD_NONBLOCK)), "signalfd"))
    }

    /// The next pending signal, or `nil`.
    package func next() -> Received? {
        var info = signalfd_siginfo()
        guard clinux_read(descriptor.rawValue, &info, MemoryLayout<signalfd_siginfo>.size) > 0 else { return nil }
        return Received(
            signal: Signal(rawValue: CInt(info.ssi_signo)),
            isFromKernel: info.ssi_code == CInt(SI_KERNEL), sender: ProcessID(info.ssi_pid))
    }
}
