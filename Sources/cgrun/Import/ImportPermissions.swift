internal import Glibc
internal import LinuxSystem

/// Who may read a file that is made from others: whoever may read all of them. They may have secrets in them.
struct ImportPermissions {
    private var shared: mode_t = 0o066

    /// Takes into account that the file is made from this one.
    mutating func limit(to source: stat) {
        // A pipe's mode says nothing of where its text comes from.
        guard source.st_mode & S_IFMT == S_IFREG else { return }
        var bits = source.st_mode
        // The new file's group is another one.
        if source.st_gid != getegid() { bits = Self.withGroupOfOthers(bits) }
        shared &= bits
    }

    /// - Parameters:
    ///   - new: a file that is about to take a place.
    ///   - path: where the file of now, if there is one, does not lose permissions, nor gets any.
    func mode(of new: borrowing Descriptor, replacing path: String) -> mode_t {
        var (facts, old) = (stat(), stat())
        var bits = shared
        if fstat(new.rawValue, &facts) != 0 || facts.st_gid != getegid() { bits = Self.withGroupOfOthers(bits) }
        guard stat(path, &old) == 0 else { return (0o600 | bits) & ~mode_t(ThisProcess.fileModeMask) }
        let now = old.st_gid == facts.st_gid ? old.st_mode : Self.withGroupOfOthers(old.st_mode)
        return old.st_mode & 0o700 | now & bits
    }

    /// The mode with no more for the group than for all others.
    private static func withGroupOfOthers(_ mode: mode_t) -> mode_t { mode & (~0o070 | (mode & 0o007) << 3) }
}
