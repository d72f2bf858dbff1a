internal import CLinux
internal import Glibc
package import LinuxSystem
internal import SystemPackage

/// The next keeper of a service, which the guard becomes if the present one is lost (GUARD_SUCCESSOR in
/// guard_protocol.h).
package final class Successor: Sendable {
    /// The program of this process.
    let executable: Descriptor
    let state: SharedDescriptor
    let output: SharedDescriptor
    let notices: SharedDescriptor?

    /// - Parameters:
    ///   - state: the service's directory.
    ///   - output: the FIFO that the service writes to. What is in it stays while somebody has it open.
    ///   - notices: the socket of sd_notify(3), if the service has one.
    package init(
        state: SharedDescriptor, output: SharedDescriptor, notices: SharedDescriptor?
    ) throws(SystemError) {
        executable = try Descriptor(opening: "/proc/self/exe", O_RDONLY)
        self.state = state
        self.output = output
        self.notices = notices
    }
}

/// What a keeper finds on descriptor 3 when it starts.
package struct Succession: Sendable {
    /// The service's directory.
    package let state: SharedDescriptor
    /// The FIFO of the service's output; `nil` for a service that had no keeper before.
    package let output: SharedDescriptor?
    /// The socket of sd_notify(3), if an earlier keeper had one.
    package let notices: SharedDescriptor?

    /// - Throws: when there is no such message: nobody has started this process as a keeper.
    package init() throws(SystemError) {
        let message = try guard_contents.queued(GUARD_SUCCESSOR)
        close(CInt(GUARD_CONTROL))
        state = SharedDescriptor(Descriptor(owning: message.state))
        output = message.output < 0 ? nil : SharedDescriptor(Descriptor(owning: message.output))
        notices = message.notices < 0 ? nil : SharedDescriptor(Descriptor(owning: message.notices))
    }

    /// A socket that brings a new keeper the service's directory.
    package static func queue(state: borrowing Descriptor) throws(SystemError) -> Descriptor {
        var message = guard_message(GUARD_SUCCESSOR)
        message.state = state.rawValue
        return Descriptor(owning: try check(guard_queue(&message), "sendmsg", path: "the keeper"))
    }
}
