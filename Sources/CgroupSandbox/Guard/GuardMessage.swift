internal import CLinux
internal import LinuxSystem
internal import SystemPackage

// guard_protocol.h says what the messages mean.

extension guard_contents {
    /// - Parameter number: that of the job that the message is about, or the hash of a cgroup.
    init(_ kind: guard_kind, number: UInt64) {
        self = guard_message(kind)
        self.number = number
    }

    /// Reads what a guard, or whoever else has started this process, has queued on descriptor 3.
    ///
    /// - Throws: when there is no message of this kind: nobody has started this process for that.
    static func queued(_ kind: guard_kind) throws(SystemError) -> guard_contents {
        var message = guard_contents()
        let result = guard_receive(CInt(GUARD_CONTROL), &message)
        guard result > 0, message.kind == kind else {
            throw SystemError(
                "recvmsg", path: "descriptor \(GUARD_CONTROL)",
                errno: result < 0 ? Errno(rawValue: -result) : .noSuchProcess)
        }
        return message
    }

    /// The common name of the job's cgroups, what each of them is, and the directories that they are in.
    mutating func describeJob(_ name: String, tags: [UInt8], parents: [CInt]) {
        groups = CUnsignedInt(tags.count)
        withUnsafeMutableBytes(of: &self.tags) { $0.copyBytes(from: tags) }
        withUnsafeMutableBytes(of: &self.name) { $0.copyBytes(from: name.utf8) }
        withUnsafeMutableBytes(of: &self.parents) { field in parents.withUnsafeBytes { field.copyMemory(from: $0) } }
        has_parents = true
    }

    mutating func setDirectories(_ directories: [CInt]) {
        groups = CUnsignedInt(directories.count)
        withUnsafeMutableBytes(of: &self.directories) { field in
            directories.withUnsafeBytes { field.copyMemory(from: $0) }
        }
        has_directories = true
    }

    var nameText: String { withUnsafeBytes(of: name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) } }
    var tagList: [UInt8] { withUnsafeBytes(of: tags) { Array($0.prefix(Int(groups))) } }
    var parentList: [CInt] { withUnsafeBytes(of: parents) { Array($0.bindMemory(to: CInt.self).prefix(Int(groups))) } }
    var directoryList: [CInt] {
        withUnsafeBytes(of: directories) { Array($0.bindMemory(to: CInt.self).prefix(Int(groups))) }
    }

    /// Sends the message, and never waits.
    ///
    /// - Throws: `EAGAIN` or `ETOOMANYREFS` while the other side has not read what came before.
    func send(to socket: CInt) throws(SystemError) {
        let result = withUnsafePointer(to: self) { guard_send(socket, $0) }
        guard result >= 0 else { throw SystemError("sendmsg", path: "the guard", errno: Errno(rawValue: -result)) }
    }
}
