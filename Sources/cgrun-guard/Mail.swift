import CLinux

/// A message of the launcher's.
struct Mail {
    var message = guard_message()
    private(set) var descriptors: ArraySlice<CInt> = []

    /// Whether every descriptor has arrived that was sent.
    var isComplete: Bool { descriptors.count == Int(message.descriptors) }

    /// - Parameter hasEnded: set when nobody has the other end any more.
    /// - Returns: `nil` when there is no message.
    static func next(_ hasEnded: inout Bool) -> Mail? {
        var mail = Mail()
        var received = [CInt](repeating: -1, count: Int(GUARD_MAX_DESCRIPTORS))
        var count: CUnsignedInt = 0
        let size = clinux_receive(
            CInt(GUARD_CONTROL), &mail.message, MemoryLayout<guard_message>.size, &received, &count)
        hasEnded = size <= 0 && size != -Int(EAGAIN)
        guard size > 0 else { return nil }
        mail.descriptors = received[..<Int(count)]
        return mail
    }

    /// Says that this process is at its post, which is all that it ever says. A launcher that is gone meanwhile
    /// needs not know.
    static func sayReady() {
        var message = guard_message()
        message.kind = UInt8(GUARD_READY.rawValue)
        _ = clinux_send(CInt(GUARD_CONTROL), &message, MemoryLayout<guard_message>.size, nil, 0)
    }
}
