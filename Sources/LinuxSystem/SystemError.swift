internal import Glibc
public import SystemPackage

/// A system call that failed, with what it was asked to do.
public struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The operation in the words of its man page: `open`, `write`, `clone3`.
    public var operation: String
    /// The file, or what stands for one.
    public var path: String?
    /// What was to be written or sent.
    public var value: String?
    /// What the kernel said.
    public var errno: Errno

    package init(_ operation: String, path: String? = nil, value: String? = nil, errno: Errno) {
        self.operation = operation
        self.path = path
        self.value = value
        self.errno = errno
    }

    /// For example `write "200M" to memory.max: Invalid argument`.
    public var description: String {
        var text = operation
        if let value { text += " \"\(value)\"" }
        if let path { text += value == nil ? " \(path)" : " to \(path)" }
        return text + ": \(errno)"
    }
}

extension SystemError {
    /// What to do about a failure whose reason is the same whatever failed; `nil` for all others.
    package var remedy: String? {
        switch errno {
        case .tooManyOpenFiles: "raise the limit on open files (ulimit -n)"
        case .tooManyOpenFilesInSystem: "raise /proc/sys/fs/file-max, or close files"
        case .noMemory: "free memory, or raise the limits on memory of this process and of the cgroups above"
        case .resourceTemporarilyUnavailable where Self.startsProcess.contains(operation):
            "raise the limits on processes of this user and of the cgroups above (ulimit -u, pids.max)"
        case .notPermitted where !Self.needsPrivilege.contains(operation), .noFunction: Self.filterRemedy
        default: nil
        }
    }

    /// What to do where a filter of system calls is in the way.
    package static let filterRemedy =
        "the filter of system calls (seccomp) that is around this program must allow it"

    private static let startsProcess = ["clone3", "execve", "pthread_create"]
    /// What the kernel itself refuses with EPERM.
    private static let needsPrivilege = ["setresuid", "fchmod", "pidfd_send_signal"]
}

/// Turns the `-errno` of a CLinux function into a thrown error.
package func check<Result: SignedInteger>(
    _ result: Result, _ operation: @autoclosure () -> String,
    path: @autoclosure () -> String? = nil, value: @autoclosure () -> String? = nil
) throws(SystemError) -> Result {
    guard result < 0 else { return result }
    throw SystemError(operation(), path: path(), value: value(), errno: Errno(rawValue: CInt(-result)))
}

/// Turns the -1 of a C library function, which leaves the reason in `errno`, into a thrown error.
@discardableResult
package func checkErrno(
    _ result: CInt, _ operation: @autoclosure () -> String, path: @autoclosure () -> String? = nil,
    value: @autoclosure () -> String? = nil
) throws(SystemError) -> CInt {
    try check(result < 0 ? -errno : result, operation(), path: path(), value: value())
}

extension Errno {
    static var current: Errno { Errno(rawValue: errno) }
}
