import CLinux

/// What became of the launcher's end of the socket.
enum Mail {
    case message(guard_contents)
    case none
    /// Nobody has the other end any more.
    case ended
    /// A message, or its descriptors, did not arrive whole.
    case broken

    static func next() -> Mail {
        var contents = guard_contents()
        let result = guard_receive(CInt(GUARD_CONTROL), &contents)
        if result > 0 { return .message(contents) }
        return result == -EAGAIN ? .none : result == -EBADMSG ? .broken : .ended
    }

    /// Says that this process is at its post, which is all that it ever says. A launcher that is gone meanwhile
    /// needs not know.
    static func sayReady() {
        var message = guard_message(GUARD_READY)
        _ = guard_send(CInt(GUARD_CONTROL), &message)
    }
}
