internal import CLinux

/// Two ends of a SOCK_SEQPACKET connection.
package struct SocketPair: ~Copyable {
    package let near: Descriptor
    package let far: Descriptor

    package init() throws(SystemError) {
        var ends: [CInt] = [-1, -1]
        _ = try check(clinux_socketpair(&ends), "socketpair")
        near = Descriptor(owning: ends[0])
        far = Descriptor(owning: ends[1])
    }

    /// Keeps the near end and closes the far one, of which a child has a copy by now.
    package consuming func keepNear() -> Descriptor { near }
}
