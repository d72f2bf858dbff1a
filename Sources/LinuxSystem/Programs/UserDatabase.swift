internal import CLinux
internal import Glibc

/// Users and groups by name or number, as `passwd` and `group` databases know them.
package enum UserDatabase {
    package enum LookupError: Error, Equatable, Sendable {
        case unknownUser(String)
        case unknownGroup(String)
        /// The user database does not know the uid, so that the caller has to name a group.
        case groupNeeded(uid: UInt32)
    }

    /// What a login of `user` would have; `group`, where given, replaces the primary group.
    ///
    /// - Parameters:
    ///   - user: a name or a number; `nil` keeps the caller's uid.
    ///   - group: a name or a number.
    package static func credentials(user: String?, group: String?) throws(LookupError) -> Credentials {
        if let user, user.hasPrefix("+") { throw .unknownUser(user) }
        if let group, group.hasPrefix("+") { throw .unknownGroup(group) }
        let gid = try group.map(groupID)
        guard let user else {
            let own = gid ?? getegid()
            return Credentials(uid: geteuid(), gid: own, supplementaryGroups: [own])
        }
        guard let entry = getpwnam(user) ?? UInt32(user).flatMap({ getpwuid($0) }) else {
            guard let uid = UInt32(user), uid != .max else { throw .unknownUser(user) }
            guard let gid else { throw .groupNeeded(uid: uid) }
            return Credentials(uid: uid, gid: gid, supplementaryGroups: [gid])
        }
        let primary = gid ?? entry.pointee.pw_gid
        var count: CInt = 64
        var groups: [gid_t]
        repeat {
            groups = [gid_t](repeating: 0, count: Int(count))
        } while getgrouplist(entry.pointee.pw_name, primary, &groups, &count) < 0
        return Credentials(
            uid: entry.pointee.pw_uid, gid: primary, supplementaryGroups: Array(groups.prefix(Int(count))))
    }

    private static func groupID(_ group: String) throws(LookupError) -> UInt32 {
        if let entry = getgrnam(group) { return entry.pointee.gr_gid }
        guard let number = UInt32(group), number != .max else { throw .unknownGroup(group) }
        return number
    }
}
