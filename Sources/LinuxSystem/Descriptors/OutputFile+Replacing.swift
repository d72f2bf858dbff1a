internal import CLinux
internal import Glibc
internal import SystemPackage

// How a file takes the place of another in one step, or its place where there is none.

extension OutputFile {
    private static let prefix = ".cgrun-"

    /// Each writer has a temporary name of its own, so that it cannot put the other's half-written file into place.
    static func temporaryNames(_ token: String) -> (first: String, second: String) {
        (prefix + token, prefix + token + "-2")
    }

    func replace(
        _ name: String, with bytes: [UInt8], by temporary: String, _ mode: UInt32, isExact: Bool
    ) throws(SystemError) {
        let nameless = openat(directory, ".", CLINUX_O_TMPFILE | O_WRONLY | O_CLOEXEC, mode)
        var isInPlace = false
        if nameless >= 0 {
            let file = Descriptor(owning: nameless)
            try fill(file, with: bytes, temporary, isExact ? mode : nil)
            isInPlace = try place(file, name, by: temporary)
        }
        if !isInPlace {
            let file = try create(temporary, mode)
            do throws(SystemError) {
                try fill(file, with: bytes, temporary, isExact ? mode : nil)
                removeLeftovers()
                try checkErrno(renameat(directory, temporary, directory, name), "replace", path: name)
            } catch {
                unlinkat(directory, temporary, 0)
                throw error
            }
        }
        try Self.sync(directory, "its directory")
    }

    /// - Parameter mode: the mode that the file gets; `nil`: it stays as it is.
    private func fill(
        _ file: borrowing Descriptor, with bytes: [UInt8], _ path: String, _ mode: UInt32?
    ) throws(SystemError) {
        // A sign that somebody writes it.
        _ = try? file.tryLock()
        if let mode { try checkErrno(fchmod(file.rawValue, mode), "fchmod", path: path) }
        try file.write(bytes, path: path)
        try Self.sync(file.rawValue, path)
    }

    /// Gives a file without a name its own. Of such a file nothing is left if this process and the one that finishes its
    /// work are both killed; but it cannot take the place of another without a temporary name, for an instant.
    ///
    /// - Returns: `false` where nameless files cannot be named: without /proc, for example.
    private func place(
        _ file: borrowing Descriptor, _ name: String, by temporary: String
    ) throws(SystemError) -> Bool {
        let link = "/proc/self/fd/\(file.rawValue)"
        if linkat(AT_FDCWD, link, directory, name, AT_SYMLINK_FOLLOW) == 0 { return true }
        guard errno == EEXIST else { return false }
        removeLeftovers()
        guard linkat(AT_FDCWD, link, directory, temporary, AT_SYMLINK_FOLLOW) == 0 else { return false }
        guard renameat(directory, temporary, directory, name) == 0 else {
            let error = Errno.current
            unlinkat(directory, temporary, 0)
            throw SystemError("replace", path: name, errno: error)
        }
        return true
    }

    /// A file with a temporary name, where a filesystem has no other.
    private func create(_ temporary: String, _ mode: UInt32) throws(SystemError) -> Descriptor {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        while true {
            let named = try checkErrno(openat(directory, temporary, flags, mode), "create", path: temporary)
            let file = Descriptor(owning: named)
            _ = try? file.tryLock()
            // Another writer may have taken the file for a leftover before it was locked.
            if file.facts?.st_nlink != 0 { return file }
        }
    }

    // MARK: Leftovers

    /// How many names are looked at: a directory may have millions, and nobody waits for that.
    private static let mostNames = 10_000

    /// Removes temporary files of writers that were killed before they could rename them.
    private func removeLeftovers() {
        let listing = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard listing >= 0, let stream = fdopendir(listing) else { return }
        defer { closedir(stream) }
        for _ in 0..<Self.mostNames {
            guard let entry = readdir(stream) else { return }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if Self.isTemporary(name) { removeIfLeft(name) }
        }
    }

    private static func isTemporary(_ name: String) -> Bool {
        let digits = (name.hasSuffix("-2") ? name.dropLast(2) : name[...]).dropFirst(prefix.count)
        return name.hasPrefix(prefix) && digits.utf8.count == 16
            && digits.utf8.allSatisfy("0123456789abcdef".utf8.contains)
    }

    private func removeIfLeft(_ name: String) {
        let opened = openat(directory, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC)
        guard opened >= 0 else { return }
        let file = Descriptor(owning: opened)
        guard let facts = file.facts, Int32(facts.st_mode) & S_IFMT == S_IFREG, facts.st_uid == geteuid(),
            (try? file.tryLock()) == true
        else { return }
        unlinkat(directory, name, 0)
    }
}
