internal import Glibc

/// Descriptors that whoever started this process opened for it.
package enum InheritedDescriptor {
    /// Opens /dev/null in the place of each standard stream that is closed, so that no file that this process opens
    /// later becomes its stderr. What is written to a closed stream is still an error, and programs that this process
    /// starts find it closed as before.
    package static func occupyStandardStreams() {
        for place in CInt(0)...2 where fcntl(place, F_GETFD) < 0 {
            // open(2) returns the lowest free number, which is this place.
            _ = open("/dev/null", (place == 0 ? O_WRONLY : O_RDONLY) | O_CLOEXEC)
        }
    }

    /// One more descriptor for an open file that this process was started with.
    public static func duplicate(_ rawValue: CInt) throws(SystemError) -> Descriptor {
        Descriptor(
            owning: try checkErrno(
                fcntl(rawValue, F_DUPFD_CLOEXEC, 3), "fcntl(F_DUPFD_CLOEXEC)", path: "descriptor \(rawValue)"))
    }

    /// Makes a descriptor close-on-exec, so that programs that this process starts do not get it.
    package static func keepPrivate(_ rawValue: CInt) throws(SystemError) {
        try checkErrno(fcntl(rawValue, F_SETFD, FD_CLOEXEC), "fcntl(F_SETFD)", path: "descriptor \(rawValue)")
    }
}

/// Whether this process has a descriptor with this number.
package func isOpen(_ descriptor: CInt) -> Bool { fcntl(descriptor, F_GETFD) >= 0 }
