internal import Glibc

/// Why a file cannot be at the path that the caller gave, and what the caller could give instead.
package struct PathRefusal: Error, Equatable, Sendable {
    /// What is wrong, for example `No such file or directory`.
    package var reason: String
    /// What the caller could give instead.
    package var accepted: String

    init(_ reason: String, accepted: String = "a file in a directory where you may make files") {
        (self.reason, self.accepted) = (reason, accepted)
    }

    init(errno: CInt) { self.init(String(cString: strerror(errno))) }
}
