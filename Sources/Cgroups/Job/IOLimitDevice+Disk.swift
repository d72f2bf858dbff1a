internal import CLinux
internal import Glibc
internal import LinuxSystem
package import SandboxValues
internal import SystemPackage

extension IOLimit.Device {
    /// The number of a whole disk, since the kernel limits nothing smaller: this device itself, the disk that it is a
    /// partition of, or the disk that the file at this path is on.
    func disk() throws(CgroupError) -> IOLimit.Device {
        let number: String
        switch self {
        case .number: number = description
        case .path(let path):
            var facts = stat()
            guard stat(path, &facts) == 0 else {
                throw CgroupError(.noDisk(path: path, reason: "\(SystemError("stat", errno: Errno(rawValue: errno)))"))
            }
            let device = UInt64(facts.st_mode & S_IFMT == S_IFBLK ? facts.st_rdev : facts.st_dev)
            // As major(3) and minor(3) do, which are macros and so not there for Swift.
            let major = device >> 8 & 0xFFF | device >> 32 & 0xFFFF_F000
            let minor = device & 0xFF | device >> 12 & 0xFFFF_FF00
            number = "\(major):\(minor)"
        }
        guard isDirectory("/sys/dev/block/\(number)") else {
            throw CgroupError(
                .noDisk(
                    path: description,
                    reason: number.hasPrefix("0:")
                        ? "its filesystem has no block device of its own" : "there is no block device \(number)"))
        }
        guard (try? readTextFile("/sys/dev/block/\(number)/partition")) != nil else {
            return try Self.read(number, self)
        }
        let disk = (try? readTextFile("/sys/dev/block/\(number)/../dev")) ?? ""
        return try Self.read(disk.split(separator: "\n").first.map(String.init) ?? "", self)
    }

    private static func read(_ number: String, _ asked: IOLimit.Device) throws(CgroupError) -> IOLimit.Device {
        let parts = number.split(separator: ":").compactMap { UInt32($0) }
        guard parts.count == 2 else {
            throw CgroupError(.noDisk(path: asked.description, reason: "its disk has no number"))
        }
        return .number(major: parts[0], minor: parts[1])
    }

    /// Any disk of this machine; `nil` if there is none.
    package static var any: IOLimit.Device? {
        let table = (try? readTextFile("/proc/partitions")) ?? ""
        for line in table.split(separator: "\n").dropFirst() {
            let words = line.split(separator: " ").prefix(2).compactMap { UInt32($0) }
            guard words.count == 2 else { continue }
            if let disk = try? IOLimit.Device.number(major: words[0], minor: words[1]).disk() { return disk }
        }
        return nil
    }
}
