/// A user and groups to run a program as.
public struct Credentials: Equatable, Sendable {
    /// Real, effective and saved.
    public var uid: UInt32
    /// Real, effective and saved.
    public var gid: UInt32
    /// All supplementary groups; the job keeps none of this program's.
    public var supplementaryGroups: [UInt32]

    /// A user and groups. Only root can start a job with them; for others the start fails.
    public init(uid: UInt32, gid: UInt32, supplementaryGroups: [UInt32]) {
        self.uid = uid
        self.gid = gid
        self.supplementaryGroups = supplementaryGroups
    }
}
