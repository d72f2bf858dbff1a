/// The letter by which the guard and the finisher know a job's cgroup v2; `LegacyController` has those of v1 groups.
enum CgroupTag {
    static let unified = UInt8(ascii: "u")
}
