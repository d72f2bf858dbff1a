import CLinux

/// What this process finds in its socket: a message from the launcher, or why there is none.
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

    /// Sends GUARD_READY. A launcher that is gone meanwhile does not need it.
    static func sayReady() {
        var message = guard_message(GUARD_READY)
        _ = guard_send(CInt(GUARD_CONTROL), &message)
    }
}
