internal import CLinux

/// The two ends of a pipe(2), both close-on-exec.
package struct Pipe: Sendable {
    package let reading: SharedDescriptor
    package let writing: SharedDescriptor

    package init() throws(SystemError) {
        var ends: [CInt] = [-1, -1]
        _ = try check(clinux_pipe(&ends), "pipe2")
        reading = SharedDescriptor(Descriptor(owning: ends[0]))
        writing = SharedDescriptor(Descriptor(owning: ends[1]))
    }
}
